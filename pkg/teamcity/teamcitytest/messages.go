// Package teamcitytest reads what a build says as strictly as a TeamCity agent
// and server would, and refuses the rest.
package teamcitytest

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf16"
)

// A Message is a service message, or a line that is none, whose Name is "".
type Message struct {
	Name   string
	Values map[string]string // "" of a message with a single value
	Text   string            // the line
}

// known are the messages and the attributes that TeamCity documents for them,
// those in upper case being necessary.
var known = map[string]string{
	"message":             "TEXT status errorDetails flowId",
	"blockOpened":         "NAME description flowId",
	"blockClosed":         "NAME flowId",
	"progressMessage":     "=",
	"testStarted":         "NAME captureStandardOutput flowId timestamp",
	"testFailed":          "NAME MESSAGE details type expected actual flowId timestamp",
	"testIgnored":         "NAME message flowId timestamp",
	"testFinished":        "NAME duration flowId timestamp",
	"buildProblem":        "DESCRIPTION identity",
	"buildStatus":         "status text",
	"buildStatisticValue": "KEY VALUE",
	"setParameter":        "NAME VALUE",
	"addBuildTag":         "=",
	"publishArtifacts":    "=",
}

var (
	begin     = regexp.MustCompile(`^##teamcity\[([A-Za-z]+) `)
	attribute = regexp.MustCompile(`^([A-Za-z]+)='((?:[^|'\[\]\n\r]|\|.)*)'( |\])`)
	single    = regexp.MustCompile(`^'((?:[^|'\[\]\n\r]|\|.)*)'\]`)
	identity  = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]{0,59}$`)
	number    = regexp.MustCompile(`^-?[0-9]{1,13}(\.[0-9]{1,6})?$`)
)

// Read takes the output of a build apart. The error names the first line that
// TeamCity would not understand, and what is open at the end.
func Read(output string) ([]Message, error) {
	var out []Message
	open := map[string][]string{} // blocks by flow
	test := map[string]string{}
	for line := range strings.Lines(output) {
		line = strings.TrimSuffix(line, "\n")
		if !strings.Contains(line, "##teamcity[") {
			out = append(out, Message{Text: line})
			continue
		}
		m, err := parse(line)
		if err != nil {
			return out, fmt.Errorf("%w: %s", err, line)
		}
		out = append(out, m)
		if err := follow(m, open, test); err != nil {
			return out, fmt.Errorf("%w: %s", err, line)
		}
	}
	for flow, blocks := range open {
		if len(blocks) > 0 {
			return out, fmt.Errorf("flow %q ends inside of %q", flow, blocks)
		}
	}
	for _, name := range test {
		return out, fmt.Errorf("test %q does not end", name)
	}
	return out, nil
}

// follow checks the order of messages and the limits of their values.
func follow(m Message, open map[string][]string, test map[string]string) error {
	flow, name := m.Values["flowId"], m.Values["name"]
	switch m.Name {
	case "blockOpened":
		open[flow] = append(open[flow], name)
	case "blockClosed":
		n := len(open[flow])
		if n == 0 || open[flow][n-1] != name {
			return fmt.Errorf("block %q is not the one that is open", name)
		}
		open[flow] = open[flow][:n-1]
	case "testStarted":
		if was, ok := test[flow]; ok {
			return fmt.Errorf("it ends test %q", was)
		}
		test[flow] = name
	case "testFailed", "testFinished":
		if test[flow] != name {
			return fmt.Errorf("test %q is not the one that runs", name)
		}
		if m.Name == "testFinished" {
			delete(test, flow)
		}
	case "buildProblem":
		if !identity.MatchString(m.Values["identity"]) || len(utf16.Encode([]rune(m.Values["description"]))) > 4000 {
			return errors.New("not what TeamCity takes for a build problem")
		}
	case "buildStatisticValue":
		if !number.MatchString(m.Values["value"]) {
			return errors.New("not what TeamCity takes for a number")
		}
	}
	return nil
}

func parse(line string) (Message, error) {
	m := Message{Values: map[string]string{}, Text: line}
	head := begin.FindStringSubmatch(line)
	if head == nil {
		return m, errors.New("no service message from the beginning of the line")
	}
	m.Name = head[1]
	may, ok := known[m.Name]
	if !ok {
		return m, errors.New("no such service message")
	}
	rest := line[len(head[0]):]
	if may == "=" {
		v := single.FindStringSubmatch(rest)
		if v == nil || len(v[0]) != len(rest) {
			return m, errors.New("not a single value")
		}
		text, err := unescape(v[1])
		m.Values[""] = text
		return m, err
	}
	for last := false; !last; {
		a := attribute.FindStringSubmatch(rest)
		if a == nil {
			return m, errors.New("no attribute")
		}
		if _, again := m.Values[a[1]]; again {
			return m, errors.New("an attribute twice")
		}
		if !strings.Contains(" "+strings.ToLower(may)+" ", " "+strings.ToLower(a[1])+" ") {
			return m, fmt.Errorf("no attribute %s is known", a[1])
		}
		text, err := unescape(a[2])
		if err != nil {
			return m, err
		}
		m.Values[a[1]] = text
		rest, last = rest[len(a[0]):], a[3] == "]"
	}
	if rest != "" {
		return m, errors.New("something comes after it")
	}
	for _, need := range strings.Fields(may) {
		if _, ok := m.Values[strings.ToLower(need)]; !ok && need == strings.ToUpper(need) {
			return m, fmt.Errorf("it lacks %s", strings.ToLower(need))
		}
	}
	return m, nil
}

// unescape reads a value as TeamCity does.
func unescape(s string) (string, error) {
	var units []uint16
	for i := 0; i < len(s); i++ {
		if s[i] >= 0x7f || s[i] < ' ' {
			return "", errors.New("a value that is not printable ASCII")
		}
		if s[i] != '|' {
			units = append(units, uint16(s[i]))
			continue
		}
		i++
		if i == len(s) {
			return "", errors.New("an escape without an end")
		}
		switch s[i] {
		case '|', '\'', '[', ']':
			units = append(units, uint16(s[i]))
		case 'n':
			units = append(units, '\n')
		case 'r':
			units = append(units, '\r')
		case '0':
			if len(s) < i+6 || s[i+1] != 'x' {
				return "", errors.New("an escape without four digits")
			}
			n, err := strconv.ParseUint(s[i+2:i+6], 16, 16)
			if err != nil {
				return "", fmt.Errorf("an escape without four digits: %w", err)
			}
			units = append(units, uint16(n))
			i += 5
		default:
			return "", fmt.Errorf("an unknown escape |%c", s[i])
		}
	}
	return string(utf16.Decode(units)), nil
}
