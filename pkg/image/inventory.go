package image

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Inventory is what an image has on it. It holds nothing of the machine that it
// was read from, so two machines of one image have the same.
type Inventory struct {
	Schema   int       `json:"schema"` // 1
	Packages []Package `json:"packages"`
	// Files are those that no package brought.
	Files []File `json:"files"`
	// Changed are files of packages whose content is not the package's.
	Changed []File   `json:"changed"`
	Units   []string `json:"units"`  // enabled
	Ports   []string `json:"ports"`  // "tcp/80"; those on loopback "tcp/25 local"
	Users   []string `json:"users"`  // "www-data:33:33:/var/www:/usr/sbin/nologin"
	Setuid  []string `json:"setuid"` // paths of what runs as somebody else
	// Capabilities are paths of programs that may do what root may, each with its
	// capabilities as the file system has them.
	Capabilities []string `json:"capabilities,omitempty"`
	KiB          int64    `json:"kib"` // sum of all files' sizes
}

// Package as dpkg has it.
type Package struct {
	Name         string `json:"name"`
	Version      string `json:"version"`
	Architecture string `json:"arch"`
	KiB          int64  `json:"kib"`
}

// File of an image.
type File struct {
	Path   string `json:"path"`
	Kind   string `json:"kind"` // "f", "d", "l" and others as find has them
	Mode   string `json:"mode"` // octal
	Owner  string `json:"owner"`
	Size   int64  `json:"size,omitempty"`
	Digest string `json:"digest,omitempty"` // SHA-256 of a file's content
	Link   string `json:"link,omitempty"`
}

func (f File) same(g File) bool {
	return f.Kind == g.Kind && f.Mode == g.Mode && f.Owner == g.Owner && f.Digest == g.Digest && f.Link == g.Link
}

// Digest is the content digest of an image: SHA-256 over its package list and
// the manifest of all files that no package brought or that differ from theirs.
func (i Inventory) Digest() string {
	h := sha256.New()
	for _, p := range i.Packages {
		fmt.Fprintf(h, "package %s %s %s\n", p.Name, p.Version, p.Architecture)
	}
	for _, list := range [][]File{i.Files, i.Changed} {
		for _, f := range list {
			b, _ := json.Marshal(f) // strings and numbers
			fmt.Fprintf(h, "file %s\n", b)
		}
		fmt.Fprintln(h)
	}
	return hex.EncodeToString(h.Sum(nil))
}

// PackageLines are "name version", sorted.
func (i Inventory) PackageLines() []string {
	out := make([]string, 0, len(i.Packages))
	for _, p := range i.Packages {
		out = append(out, p.Name+" "+p.Version)
	}
	return out
}

// survey is an inventory and what was seen of the machine itself.
type survey struct {
	Inventory
	owned    map[string]bool // by packages
	now      time.Time       // by the machine
	zone     string
	lang     string
	locales  []string
	failed   []string // units
	audit    string   // what dpkg complains of
	keys     []string // "path key" of every key that may log in
	secrets  []string // files that hold one
	fresh    []string // those of them that were written since the launch
	identity string   // the machine-id when it is older than the boot
	clouds   []string // directories of instances that cloud-init knows
}

// The script that surveys a machine, as root. Whatever changed since the launch
// is left out: it is the machine's, not the image's. ctime tells, since a copy or
// an archive keeps mtime. The moment before we asked for the machine is taken: EC2
// tells whole seconds only, and the boot may be no older than what was put on the
// image right before it was made.
const surveyScript = `
export LC_ALL=C PATH=/usr/local/sbin:/usr/sbin:/sbin:/usr/local/bin:/usr/bin:/bin
t=$(mktemp -d -p /run) || exit 1
trap 'rm -rf "$t"' EXIT
section() { printf '\n\001%s\n' "$1"; }
section now; date '+%s %z'
section lang; sed -n 's/^LANG=//p' /etc/default/locale /etc/locale.conf 2>/dev/null | tr -d '"' | tail -n 1; echo; locale -a 2>/dev/null
section packages; dpkg-query -W -f '${db:Status-Abbrev}\t${Package}\t${Version}\t${Architecture}\t${Installed-Size}\n'
section owned; cat /var/lib/dpkg/info/*.list | sed -E 's#^/(bin|sbin|lib|lib32|lib64|libx32)/#/usr/\1/#' | sort -u | tee "$t/owned"
section mounts; cut -d' ' -f5 /proc/self/mountinfo
section files; find / -xdev -mindepth 1 ! -newerct "@$since" -printf '%y\t%m\t%u:%g\t%s\t%l\t%p\0'
section capabilities; find / -xdev -type f -perm /111 ! -newerct "@$since" -print0 | python3 -c '
import os, sys
for path in sys.stdin.buffer.read().split(b"\0"):
    try:
        print(os.fsdecode(path), os.getxattr(path, "security.capability").hex())
    except OSError:
        pass
print("asked")'
section hashes; find / -xdev -type f ! -newerct "@$since" ! -path '/var/lib/dpkg/info/*' | sort >"$t/all"; comm -23 "$t/all" "$t/owned" | tr '\n' '\0' | xargs -0 -r sha256sum -z
section verify; dpkg --verify 2>/dev/null | grep -v '^missing' | sed -E 's/^[^ ]+ +(c +)?//' | tee "$t/changed"
section changed; tr '\n' '\0' <"$t/changed" | xargs -0 -r sha256sum -z
section units; systemctl list-unit-files --state=enabled,enabled-runtime --no-legend --no-pager --plain | awk '{ print $1 }'
section failed; systemctl --failed --no-legend --no-pager --plain | awk '{ print $1 }'
section ports; for p in tcp tcp6 udp udp6; do [ ! -r /proc/net/$p ] || sed "s/^/$p /" /proc/net/$p; done
section users; getent passwd || cat /etc/passwd
section audit; dpkg --audit; apt-get check -qq 2>&1
section keys; for f in /root/.ssh/authorized_keys* /home/*/.ssh/authorized_keys* /etc/ssh/authorized_keys* /etc/ssh/authorized_keys.d/*; do [ ! -f "$f" ] || grep -v '^[[:space:]]*\(#\|$\)' "$f" | sed "s#^#$f #"; done
section identity; find /etc/machine-id /var/lib/dbus/machine-id ! -newermt "@$since" -size +0 2>/dev/null
section clouds; ls -d /var/lib/cloud/instances/*/ 2>/dev/null
section secrets; grep -rIlE -e '-----BEGIN ([A-Z0-9]+ )*PRIVATE KEY( BLOCK)?-----' -e '(^|[^A-Z0-9])(AKIA|ASIA)[A-Z0-9]{16}([^A-Z0-9]|$)' -e '(aws_secret_access_key|aws_session_token|AWS_SECRET_ACCESS_KEY|AWS_SESSION_TOKEN)[[:space:]]*[=:]' /etc /root /home /opt /srv /usr/local /var /tmp 2>/dev/null | tee "$t/secrets"
section fresh; while read -r f; do find "$f" -newerct "@$since"; done <"$t/secrets"
section end
`

// surveyVersion tells surveys of different scripts apart.
// The digit is for how it is read.
var surveyVersion = func() string {
	sum := sha256.Sum256([]byte(surveyScript))
	return "2-" + hex.EncodeToString(sum[:4])
}()

// take reads a survey of a machine, by the function that runs a command on it.
func take(ctx context.Context, ask func(ctx context.Context, command string) (string, error), since string) (*survey, error) {
	out, err := ask(ctx, "sudo -n env since="+since+" sh -c '"+strings.ReplaceAll(surveyScript, "'", `'\''`)+"'")
	if err != nil {
		return nil, fmt.Errorf("survey the machine: %w", err)
	}
	sections := map[string]string{}
	for _, part := range strings.Split(out, "\n\x01") {
		name, text, _ := strings.Cut(part, "\n")
		sections[strings.TrimPrefix(name, "\x01")] = text
	}
	if _, ok := sections["end"]; !ok {
		return nil, fmt.Errorf("survey the machine: it was cut off after %d bytes", len(out))
	}
	return readSurvey(sections)
}

func readSurvey(in map[string]string) (*survey, error) {
	lines := func(name string) []string {
		var out []string
		for _, l := range strings.Split(in[name], "\n") {
			if strings.TrimSpace(l) != "" {
				out = append(out, l)
			}
		}
		return out
	}
	s := &survey{owned: map[string]bool{}, zone: "", failed: lines("failed"), audit: strings.TrimSpace(in["audit"]), keys: lines("keys"), secrets: lines("secrets"), fresh: lines("fresh"), clouds: lines("clouds")}
	s.Schema = 1
	s.Capabilities = unique(lines("capabilities"))
	asked := slices.Index(s.Capabilities, "asked")
	if asked < 0 {
		return nil, errors.New("survey the machine: python3, which tells the capabilities of files, did not")
	}
	s.Capabilities = slices.Delete(s.Capabilities, asked, asked+1)
	seconds, zone, _ := strings.Cut(strings.TrimSpace(in["now"]), " ")
	n, err := strconv.ParseInt(seconds, 10, 64)
	if err != nil {
		return nil, fmt.Errorf("survey the machine: its clock says %q", in["now"])
	}
	s.now, s.zone = time.Unix(n, 0), zone
	lang, locales, _ := strings.Cut(in["lang"], "\n")
	s.lang, s.locales = strings.TrimSpace(lang), strings.Fields(locales)
	if id := lines("identity"); len(id) > 0 {
		s.identity = strings.Join(id, ", ")
	}
	for _, l := range lines("packages") {
		f := strings.Split(l, "\t")
		if len(f) != 5 {
			return nil, fmt.Errorf("survey the machine: dpkg lists %q", l)
		}
		if len(f[0]) > 1 && f[0][1] == 'n' {
			continue // known, not installed
		}
		p := Package{Name: f[1], Version: f[2], Architecture: f[3]}
		p.KiB, _ = strconv.ParseInt(f[4], 10, 64) // optional in a package
		s.Packages = append(s.Packages, p)
	}
	if len(s.Packages) == 0 {
		return nil, fmt.Errorf("survey the machine: dpkg lists nothing")
	}
	for _, l := range lines("owned") {
		s.owned[l] = true
	}
	s.files(in, lines("mounts"))
	s.Units = unique(lines("units"))
	s.Ports = ports(lines("ports"))
	for _, l := range lines("users") {
		if f := strings.Split(l, ":"); len(f) == 7 {
			s.Users = append(s.Users, strings.Join([]string{f[0], f[2], f[3], f[5], f[6]}, ":"))
		}
	}
	s.Users = unique(s.Users)
	slices.SortFunc(s.Packages, func(a, b Package) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.Architecture, b.Architecture))
	})
	return s, nil
}

// files reads what is on the disk and is not of a package as it came.
func (s *survey) files(in map[string]string, mounts []string) {
	digests := hashes(in["hashes"])
	changed := hashes(in["changed"])
	bytes := int64(0)
	for _, record := range strings.Split(in["files"], "\x00") {
		f := strings.SplitN(record, "\t", 6)
		if len(f) != 6 || mounted(f[5], mounts) {
			continue
		}
		file := File{Kind: f[0], Mode: f[1], Owner: f[2], Link: f[4], Path: f[5]}
		if mode, err := strconv.ParseUint(file.Mode, 8, 32); err == nil && file.Kind == "f" && mode&0o6000 != 0 {
			s.Setuid = append(s.Setuid, file.Path)
		}
		if file.Kind == "f" {
			file.Size, _ = strconv.ParseInt(f[3], 10, 64) // find's own number
			bytes += file.Size
		}
		digest, differs := changed[file.Path]
		switch {
		case differs:
			file.Digest = digest
			s.Changed = append(s.Changed, file)
		case !s.owned[file.Path] && !bookkeeping(file.Path):
			file.Digest = digests[file.Path]
			s.Files = append(s.Files, file)
		}
	}
	byPath := func(a, b File) int { return strings.Compare(a.Path, b.Path) }
	slices.SortFunc(s.Files, byPath)
	slices.SortFunc(s.Changed, byPath)
	slices.Sort(s.Setuid)
	s.KiB = bytes / 1024
}

// mounted says whether something is of another file system than the image's.
func mounted(p string, mounts []string) bool {
	return slices.ContainsFunc(mounts, func(m string) bool { return m != "/" && (p == m || strings.HasPrefix(p, m+"/")) })
}

// bookkeeping are the files by which dpkg knows a package: the package list says
// the same.
func bookkeeping(p string) bool {
	dir, name := path.Split(p)
	return dir == "/var/lib/dpkg/info/" && name != ""
}

// hashes reads what `sha256sum -z` wrote.
func hashes(text string) map[string]string {
	out := map[string]string{}
	for _, record := range strings.Split(text, "\x00") {
		if digest, name, ok := strings.Cut(record, "  "); ok {
			out[name] = strings.TrimPrefix(digest, "\n")
		}
	}
	return out
}

// ports reads /proc/net: what listens, as "tcp/80", with " local" on loopback alone.
func ports(lines []string) []string {
	var out []string
	chosen := map[string]int{} // by the kernel, another each time
	for _, l := range lines {
		f := strings.Fields(l) // PROTOCOL SL LOCAL REMOTE STATE …
		if len(f) < 5 {
			continue
		}
		proto := strings.TrimSuffix(f[0], "6")
		if proto == "tcp" && f[4] != "0A" || proto == "udp" && f[4] != "07" {
			continue
		}
		address, hexPort, ok := strings.Cut(f[2], ":")
		port, err := strconv.ParseUint(hexPort, 16, 16)
		if !ok || err != nil {
			continue
		}
		p := fmt.Sprintf("%s/%d", proto, port)
		// Little-endian words: 127.0.0.0/8, and ::1.
		if len(address) == 8 && strings.HasSuffix(address, "7F") || address == "00000000000000000000000001000000" {
			p += " local"
			if port >= 32768 {
				chosen[proto]++
				continue
			}
		}
		out = append(out, p)
	}
	for proto, n := range chosen {
		out = append(out, fmt.Sprintf("%s/any*%d local", proto, n))
	}
	return unique(out)
}

func unique(list []string) []string {
	list = slices.Clone(list)
	slices.Sort(list)
	return slices.Compact(list)
}
