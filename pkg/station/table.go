package station

import (
	"bufio"
	"fmt"
	"io"
	"slices"
	"strings"
)

// The packagers are the ways a system's packages come: Debian's, Fedora's,
// Homebrew's, or none that the table has a column for.
const (
	Apt  = "apt"
	Dnf  = "dnf"
	Brew = "brew"
	None = "none"
)

// Row is one tool of the table, as one packager gets it.
type Row struct {
	Tool    string // its name, as printed
	Set     string // who needs it; the table says which there are
	Least   string // lowest version that will do: "2.30"
	Version string // command that prints the version, for a shell that has station/versions
	// Method is where the tool comes from, a word and its argument: "apt git",
	// "cask vagrant", "build packer/build.sh", "go PACKAGE@VERSION",
	// "pip PACKAGE==VERSION", "gem GEM:VERSION", "npm PACKAGE@VERSION",
	// "hand URL".
	Method string
}

const columns = 8 // tool set least version get apt brew dnf

// methods are the words with which a column may say that it is no package.
var methods = []string{"build", "go", "pip", "gem", "npm", "hand", "cask"}

// Read reads the table as it is for one packager: rows with a dash in its column
// are left out. A line with fewer or more columns, or without a tool, a set, a
// version or a command, is an error that names it.
func Read(table io.Reader, packager string) ([]Row, error) {
	var rows []Row
	lines := bufio.NewScanner(table)
	for n := 1; lines.Scan(); n++ {
		line := lines.Text()
		if strings.HasPrefix(line, "#") || strings.TrimSpace(line) == "" {
			continue
		}
		c := strings.Split(line, "|")
		for i := range c {
			c[i] = strings.TrimSpace(c[i])
		}
		if len(c) != columns || slices.Contains(c[:4], "") {
			return nil, fmt.Errorf("line %d of the table of tools is not tool|set|least|version|get|apt|brew|dnf: %q", n, line)
		}
		method, own := c[4], ""
		switch packager {
		case Apt:
			own = c[5]
		case Brew:
			own = c[6]
		case Dnf:
			own = c[7]
		}
		word, _, how := strings.Cut(own, " ") // npm alone is a package
		switch {
		case own == "-":
			continue
		case own == "":
		case how && slices.Contains(methods, word):
			method = own
		default:
			method = packager + " " + own
		}
		if method == "" {
			method = "hand the packages of your system"
		}
		rows = append(rows, Row{Tool: c[0], Set: c[1], Least: c[2], Version: c[3], Method: method})
	}
	return rows, lines.Err()
}

// How is where the tool comes from, for a person.
func (r Row) How() string {
	word, arg, _ := strings.Cut(r.Method, " ")
	switch word {
	case Apt:
		return "apt-get install " + arg
	case "cask":
		return "brew install --cask " + arg
	case Brew, Dnf:
		return word + " install " + arg
	case "hand":
		return "get it from " + arg
	}
	return "./station.sh setup makes it"
}
