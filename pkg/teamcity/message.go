// Package teamcity speaks with a TeamCity server: from inside a build by service
// messages, from outside by its REST API.
//
// A service message is a line of a build's output, ##teamcity[name key='value'],
// which the agent finds anywhere in a line. So whatever is only relayed has to go
// through Neutral, and whatever becomes a value through Message, or the output of
// a child could fail a build, or set its parameters.
package teamcity

import (
	"fmt"
	"strings"
	"unicode/utf16"
)

// opening begins every service message.
const opening = "##teamcity["

// An Attr is one attribute of a message. Its name is an identifier of ours, its
// value may hold anything.
type Attr struct{ Name, Value string }

// Message is a service message with attributes, one line without its end.
// Attributes without a value are left out.
func Message(name string, attrs ...Attr) string {
	var b strings.Builder
	b.WriteString(opening + name)
	for _, a := range attrs {
		if a.Value != "" {
			b.WriteString(" " + a.Name + "='" + Escape(a.Value) + "'")
		}
	}
	b.WriteString("]")
	return b.String()
}

// Single is a service message that has one value and no attributes.
func Single(name, value string) string { return opening + name + " '" + Escape(value) + "']" }

// Escape is a value as a service message holds it: printable ASCII, so that it
// does not depend on the agent's character set. What is no UTF-8 becomes U+FFFD.
func Escape(s string) string {
	var b strings.Builder
	for _, r := range s {
		switch {
		case r == '|' || r == '\'' || r == '[' || r == ']':
			b.WriteByte('|')
			b.WriteRune(r)
		case r == '\n':
			b.WriteString("|n")
		case r == '\r':
			b.WriteString("|r")
		case r >= ' ' && r <= '~':
			b.WriteRune(r)
		default:
			for _, unit := range utf16.Encode([]rune{r}) {
				fmt.Fprintf(&b, "|0x%04X", unit)
			}
		}
	}
	return b.String()
}

// Neutral is text that is no service message, whatever was in it.
func Neutral(s string) string { return strings.ReplaceAll(s, opening, "##teamcity [") }

// Identity is an error's code as TeamCity takes the identity of a build problem:
// the characters of a Java identifier, 60 at most.
func Identity(code string) string {
	s := strings.Map(func(r rune) rune {
		if r >= '0' && r <= '9' || r >= 'A' && r <= 'Z' || r >= 'a' && r <= 'z' {
			return r
		}
		return '_'
	}, code)
	if s == "" || s[0] >= '0' && s[0] <= '9' {
		s = "_" + s
	}
	return s[:min(len(s), 60)]
}

// cut is the beginning of a text, n UTF-16 units at most, which is how TeamCity counts.
func cut(s string, n int) string {
	units := 0
	for i, r := range s {
		if units += utf16.RuneLen(r); units > n-1 {
			return s[:i] + "…"
		}
	}
	return s
}

// slug is a name as a key of a statistic or parameter has it: "check-production".
func slug(s string) string {
	return strings.Join(strings.FieldsFunc(strings.ToLower(s), func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < '0' || r > '9')
	}), "-")
}
