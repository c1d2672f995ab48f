package base

import (
	"context"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

const (
	suite   = "bookworm"
	keyring = "/usr/share/keyrings/debian-archive-keyring.gpg"
)

// hostSources are the package sources for machines, as a deb822 file, and the
// lines of apt.conf without which the host itself would not reach them: those of
// a host that is a Debian 12. Elsewhere there are none, which leaves the choice to
// mmdebstrap or to the pulled image: both bring Debian's own.
func hostSources(ctx context.Context, etc string) (sources string, options []string) {
	release, err := os.ReadFile(filepath.Join(etc, "os-release"))
	if err != nil || !hasLine(release, "ID=debian") || !hasLine(release, "VERSION_CODENAME="+suite) {
		return "", nil
	}
	var found []string
	files := []string{filepath.Join(etc, "apt/sources.list")}
	for _, pattern := range []string{"*.list", "*.sources"} {
		more, _ := filepath.Glob(filepath.Join(etc, "apt/sources.list.d", pattern)) // the pattern is well formed
		files = append(files, more...)
	}
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			continue // not there, or not ours to read
		}
		if strings.HasSuffix(f, ".sources") {
			found = append(found, stanzas(string(b))...)
		} else {
			found = append(found, oneLiners(string(b))...)
		}
	}
	if !slices.ContainsFunc(found, func(s string) bool { return regexp.MustCompile(`(?m)^Suites:.* ` + suite + `( |$)`).MatchString(s) }) {
		return "", nil
	}
	return strings.Join(found, "\n"), hostOptions(ctx)
}

// Mirrors are the host names from which machines fetch packages by plain HTTP,
// without a proxy of their own: those a cache can answer for.
func Mirrors(ctx context.Context) []string { return mirrors(hostSources(ctx, "/etc")) }

func mirrors(sources string, options []string) (hosts []string) {
	if strings.Contains(strings.ToLower(strings.Join(options, "\n")), "::proxy") {
		return nil
	}
	for line := range strings.Lines(sources) {
		u, err := url.Parse(strings.TrimSpace(strings.TrimPrefix(line, "URIs: ")))
		if !strings.HasPrefix(line, "URIs: ") || err != nil || u.Scheme != "http" || u.Port() != "" || net.ParseIP(u.Hostname()) != nil {
			continue
		}
		if !slices.Contains(hosts, u.Hostname()) {
			hosts = append(hosts, u.Hostname())
		}
	}
	return hosts
}

func hasLine(b []byte, line string) bool {
	return slices.Contains(strings.Split(strings.ReplaceAll(string(b), `"`, ""), "\n"), line)
}

// ours says whether a source is Debian 12 by a way that a machine has too.
func ours(uri, suites string) bool {
	if !strings.HasPrefix(uri, "http://") && !strings.HasPrefix(uri, "https://") {
		return false
	}
	for _, s := range strings.Fields(suites) {
		if s != suite && s != suite+"-updates" && s != suite+"-security" {
			return false
		}
	}
	return suites != ""
}

func stanza(uri, suites, signedBy string) string {
	if !strings.HasPrefix(signedBy, "/usr/share/keyrings/debian-archive") {
		signedBy = keyring // the one that a machine has
	}
	return "Types: deb\nURIs: " + uri + "\nSuites: " + suites + "\nComponents: main\nSigned-By: " + signedBy + "\n"
}

// stanzas are the Debian 12 sources of a deb822 file.
func stanzas(text string) (found []string) {
	text = regexp.MustCompile(`(?m)^#.*\n`).ReplaceAllString(text, "")
	for _, block := range regexp.MustCompile(`\n[ \t]*\n+`).Split(text, -1) {
		field := map[string]string{}
		for _, line := range strings.Split(block, "\n") {
			if k, v, ok := strings.Cut(line, ":"); ok && !strings.HasPrefix(line, " ") {
				field[strings.ToLower(k)] = strings.TrimSpace(v)
			}
		}
		if !slices.Contains(strings.Fields(field["types"]), "deb") || strings.EqualFold(field["enabled"], "no") ||
			!slices.Contains(strings.Fields(field["components"]), "main") {
			continue
		}
		for _, uri := range strings.Fields(field["uris"]) {
			if ours(uri, field["suites"]) {
				found = append(found, stanza(uri, field["suites"], field["signed-by"]))
			}
		}
	}
	return found
}

var oneLiner = regexp.MustCompile(`(?m)^deb\s+(?:\[([^\]]*)\]\s+)?(\S+)\s+(\S+)\s+(.*)$`)

// oneLiners are the Debian 12 sources of a sources.list.
func oneLiners(text string) (found []string) {
	for _, m := range oneLiner.FindAllStringSubmatch(text, -1) {
		if !ours(m[2], m[3]) || !slices.Contains(strings.Fields(m[4]), "main") {
			continue
		}
		_, by, _ := strings.Cut(m[1], "signed-by=")
		by, _, _ = strings.Cut(by, " ")
		found = append(found, stanza(m[2], m[3], by))
	}
	return found
}

var passedOn = regexp.MustCompile(`^Acquire::(Check-Valid-Until|Check-Date|Retries|https?::Proxy\S*|https?::Timeout) "[^"]+";$`)

// hostOptions are the settings of the host's apt by which it reaches its sources.
func hostOptions(ctx context.Context) (lines []string) {
	out, err := exec.CommandContext(ctx, "apt-config", "dump").Output()
	if err != nil {
		return nil // no apt, no settings
	}
	for _, line := range strings.Split(string(out), "\n") {
		if passedOn.MatchString(line) {
			lines = append(lines, line)
		}
	}
	return lines
}
