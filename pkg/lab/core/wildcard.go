package core

// Wildcard says whether s matches the pattern, in which * stands for any
// characters, ? for one, and \ takes the next one as it is.
func Wildcard(pattern, s string) bool {
	star, mark := -1, 0
	p, k := 0, 0
	for k < len(s) {
		switch {
		case p < len(pattern) && pattern[p] == '*':
			star, mark = p, k
			p++
			continue
		case p < len(pattern) && pattern[p] == '?':
			p++
			k++
			continue
		case p+1 < len(pattern) && pattern[p] == '\\' && pattern[p+1] == s[k]:
			p += 2
			k++
			continue
		case p < len(pattern) && pattern[p] != '\\' && pattern[p] == s[k]:
			p++
			k++
			continue
		}
		if star < 0 {
			return false
		}
		mark++
		p, k = star+1, mark
	}
	for p < len(pattern) && pattern[p] == '*' {
		p++
	}
	return p == len(pattern)
}
