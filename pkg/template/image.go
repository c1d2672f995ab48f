package template

import (
	"bytes"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"unicode/utf8"

	"gopkg.in/yaml.v3"
)

// NotBaked is the default of ImageId before the first bake. It is refused
// before any call.
const NotBaked = "ami-00000000000000000"

var amiID = regexp.MustCompile(`^ami-([0-9a-f]{8}|[0-9a-f]{17})$`)

// ErrNoImage is wrapped when a template has no usable default of a parameter that
// names an image.
var ErrNoImage = errors.New("no default of an image parameter")

// Image is the default of parameter ImageId, which may be NotBaked.
func Image(body []byte) (string, error) {
	n, err := imageNode(body, imageID)
	if err != nil {
		return "", err
	}
	return n.Value, nil
}

// Baked tells whether an AMI id is one that can run: well-formed and not NotBaked.
func Baked(ami string) bool { return ami != NotBaked && amiID.MatchString(ami) }

// Images are the AMI ids of all parameters that name one, by parameter: those of
// type AWS::EC2::Image::Id whose default is an id. ImageId is always among them,
// or the error wraps ErrNoImage.
func Images(body []byte) (map[string]string, error) {
	root, err := document(body)
	if err != nil {
		return nil, err
	}
	if _, err := imageIn(root, imageID); err != nil {
		return nil, err
	}
	out := map[string]string{}
	parameters := value(root, "Parameters")
	for i := 0; i+1 < len(parameters.Content); i += 2 {
		name, p := parameters.Content[i].Value, parameters.Content[i+1]
		kind, id := value(p, "Type"), value(p, "Default")
		if name == imageID || kind != nil && kind.Value == imageType && id != nil && amiID.MatchString(id.Value) {
			out[name] = id.Value
		}
	}
	return out, nil
}

// imageType is the type of the parameters that name images.
const imageType = "AWS::EC2::Image::Id"

// document is the mapping that a template is.
func document(body []byte) (*yaml.Node, error) {
	var doc yaml.Node
	if err := yaml.Unmarshal(body, &doc); err != nil {
		return nil, fmt.Errorf("read the template: %w", err)
	}
	if len(doc.Content) == 0 {
		return nil, fmt.Errorf("%w: the template is empty", ErrNoImage)
	}
	return doc.Content[0], nil
}

// imageNode is the scalar Parameters.PARAMETER.Default.
func imageNode(body []byte, parameter string) (*yaml.Node, error) {
	root, err := document(body)
	if err != nil {
		return nil, err
	}
	return imageIn(root, parameter)
}

func imageIn(n *yaml.Node, parameter string) (*yaml.Node, error) {
	for _, key := range []string{"Parameters", parameter, "Default"} {
		if n = value(n, key); n == nil {
			return nil, fmt.Errorf("%w: %s is missing", ErrNoImage, key)
		}
	}
	if n.Kind != yaml.ScalarNode || !amiID.MatchString(n.Value) {
		return nil, fmt.Errorf("%w: %s is not an AMI id but %q", ErrNoImage, parameter, n.Value)
	}
	return n, nil
}

func value(n *yaml.Node, key string) *yaml.Node {
	if n.Kind != yaml.MappingNode {
		return nil
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == key {
			return n.Content[i+1]
		}
	}
	return nil
}

// SetImage writes an AMI id as the default of ImageId.
func SetImage(body []byte, ami string) ([]byte, error) { return SetImageOf(body, imageID, ami) }

// SetImageOf writes an AMI id as the default of a parameter that has one: one
// word of one line changes, whatever the template's layout, comments and quotes
// are.
func SetImageOf(body []byte, parameter, ami string) ([]byte, error) {
	if !amiID.MatchString(ami) {
		return nil, fmt.Errorf("%q is not an AMI id", ami)
	}
	n, err := imageNode(body, parameter)
	if err != nil {
		return nil, err
	}
	start, err := offset(body, n.Line, n.Column)
	if err != nil {
		return nil, err
	}
	// The node may begin with a quote, an anchor or a tag: the id follows on its line.
	line := body[start:]
	if i := bytes.IndexByte(line, '\n'); i >= 0 {
		line = line[:i]
	}
	at := bytes.Index(line, []byte(n.Value))
	if at < 0 {
		return nil, fmt.Errorf("line %d does not hold %s", n.Line, n.Value)
	}
	start += at
	out := make([]byte, 0, len(body)+len(ami)-len(n.Value))
	out = append(append(append(out, body[:start]...), ami...), body[start+len(n.Value):]...)
	if got, err := imageNode(out, parameter); err != nil || got.Value != ami {
		return nil, fmt.Errorf("the default of %s on line %d cannot be replaced", parameter, n.Line)
	}
	return out, nil
}

// offset of a line and column, both counted from 1, columns in characters.
func offset(body []byte, line, column int) (int, error) {
	at := 0
	for range line - 1 {
		i := bytes.IndexByte(body[at:], '\n')
		if i < 0 {
			return 0, fmt.Errorf("no line %d", line)
		}
		at += i + 1
	}
	for range column - 1 {
		_, size := utf8.DecodeRune(body[at:])
		if size == 0 {
			return 0, fmt.Errorf("no column %d in line %d", column, line)
		}
		at += size
	}
	return at, nil
}

// WithoutImage is the body with NotBaked as its image: what two templates that
// differ in their image only have in common.
func WithoutImage(body []byte) (string, error) {
	out, err := SetImage(body, NotBaked)
	return strings.TrimRight(string(out), "\n"), err
}
