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
