package stack

import (
	"slices"
	"strconv"
	"strings"

	"gopkg.in/yaml.v3"
)

// meaning is what a template says, without how it says it: comments, the order
// of keys, quotes and indentation are nothing that CloudFormation could change.
// Text that is no YAML stays as it is.
func meaning(body string) string {
	var doc yaml.Node
	if err := yaml.Unmarshal([]byte(body), &doc); err != nil || len(doc.Content) == 0 {
		return body
	}
	var b strings.Builder
	writeMeaning(&b, doc.Content[0])
	return b.String()
}

// members calls fn with the meaning of each member of each section of a template,
// by its path, "Resources.Group". Text that is no YAML is one section without a name.
func members(body string, fn func(path, text string)) {
	var doc yaml.Node
	if err := yaml.Unmarshal([]byte(body), &doc); err != nil || len(doc.Content) == 0 || doc.Content[0].Kind != yaml.MappingNode {
		fn("", body)
		return
	}
	top := doc.Content[0].Content
	for i := 0; i+1 < len(top); i += 2 {
		name, section := top[i].Value, top[i+1]
		if section.Kind != yaml.MappingNode {
			var b strings.Builder
			writeMeaning(&b, section)
			fn(name, b.String())
			continue
		}
		for j := 0; j+1 < len(section.Content); j += 2 {
			var b strings.Builder
			writeMeaning(&b, section.Content[j+1])
			fn(name+"."+section.Content[j].Value, b.String())
		}
	}
}

func writeMeaning(b *strings.Builder, n *yaml.Node) {
	switch n.Kind {
	case yaml.AliasNode:
		writeMeaning(b, n.Alias)
	case yaml.MappingNode:
		b.WriteString(n.ShortTag() + "{")
		pairs := make([]string, 0, len(n.Content)/2)
		for i := 0; i+1 < len(n.Content); i += 2 {
			var p strings.Builder
			writeMeaning(&p, n.Content[i])
			p.WriteByte(':')
			writeMeaning(&p, n.Content[i+1])
			pairs = append(pairs, p.String())
		}
		slices.Sort(pairs)
		b.WriteString(strings.Join(pairs, ",") + "}")
	case yaml.SequenceNode:
		b.WriteString(n.ShortTag() + "[")
		for _, c := range n.Content {
			writeMeaning(b, c)
			b.WriteByte(',')
		}
		b.WriteByte(']')
	default:
		b.WriteString(n.ShortTag() + strconv.Quote(n.Value))
	}
}
