package image_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/build-deploy-chain/chain/pkg/image"
	"github.com/build-deploy-chain/chain/pkg/pipeline"
	"github.com/build-deploy-chain/chain/pkg/report"
)

// TestEachDifferenceIsExplainedOrALeak lets a machine of a good image tell one
// thing more than one of its base image. The same on real machines:
// TestLeakyImagesAreRefused.
func TestEachDifferenceIsExplainedOrALeak(t *testing.T) {
	b := newBench(t)
	put(t, b.dir, "packer/allowed/all", "# all\nfile /var/lib/dpkg/status\n")
	put(t, b.dir, "packer/allowed/web", "file /srv/**\nunit apache2.service\nport tcp/80\nport tcp/5432 local\nuser www-*\nsecret /srv/tls/*.key\n")
	put(t, b.dir, "packer/packages/web", "libapr1 # needed\n")
	commit(t, b.dir, "allow")
	r, err := b.bake(b.options())
	require.NoError(t, err)
	assert.Len(t, r.Inventory.Packages, 2)
	assert.Equal(t, []string{"tcp/22"}, r.Inventory.Ports)

	more := func(section, text string) func(map[string]string) {
		return func(s map[string]string) { s[section] += "\n" + text }
	}
	both := func(a, b func(map[string]string)) func(map[string]string) {
		return func(s map[string]string) { a(s); b(s) }
	}
	file := func(path string) func(map[string]string) {
		return func(s map[string]string) { s["files"] += "f\t644\troot:root\t7\t\t" + path + "\x00" }
	}
	for name, x := range map[string]struct {
		spoil func(map[string]string)
		class string // "": no leak
		text  string
	}{
		"a declared package":           {more("packages", "ii \tlibapr1\t1\tamd64\t1"), "", ""},
		"a package":                    {more("packages", "ii \tnmap\t7\tamd64\t1"), image.LeakPackages, "nmap 7"},
		"a tool":                       {more("packages", "ii \tpuppet-agent\t7\tall\t1"), image.LeakTools, "puppet-agent 7"},
		"remains of a package":         {more("packages", "rc \tpuppet-agent\t7\tall\t1"), image.LeakTools, "puppet-agent"},
		"an allowed file":              {file("/srv/www/page"), "", ""},
		"dpkg's own list of a package": {file("/var/lib/dpkg/info/apache2.list"), "", ""},
		"a file":                       {file("/usr/local/bin/x"), image.LeakFiles, "/usr/local/bin/x"},
		"a gem":                        {file("/var/lib/gems/3.1.0/gems/serverspec-2.42/x.rb"), image.LeakTools, "serverspec"},
		"a key":                        {file("/root/.ssh/authorized_keys"), image.LeakLogin, "/root/.ssh/authorized_keys"},
		"a host key":                   {file("/etc/ssh/ssh_host_rsa_key"), image.LeakHostKeys, "ssh_host_rsa_key"},
		"a history":                    {file("/home/admin/.bash_history"), image.LeakHistory, ".bash_history"},
		"cloud-init":                   {file("/var/lib/cloud/instances/i-0/sem/x"), image.LeakCloud, "i-0"},
		"lists":                        {file("/var/lib/apt/lists/deb_InRelease"), image.LeakCaches, "lists"},
		"a log":                        {file("/var/log/puppetlabs.log"), image.LeakLogs, "puppetlabs.log"},
		"a secret's file":              {file("/root/.aws/credentials"), image.LeakSecrets, ".aws"},
		"a secret":                     {more("secrets", "/opt/app/config"), image.LeakSecrets, "/opt/app/config"},
		"a secret made at the boot":    {both(more("secrets", "/opt/app/config"), more("fresh", "/opt/app/config")), image.LeakSecrets, "/opt/app/config"},
		"one that may be":              {both(more("secrets", "/srv/tls/own.key"), more("fresh", "/srv/tls/own.key")), "", ""},
		"one that came with the image": {more("secrets", "/srv/tls/own.key"), image.LeakSecrets, "/srv/tls/own.key"},
		"a port of loopback":           {more("ports", "tcp    1: 0100007F:1538 00000000:0000 0A"), "", ""},
		"the same for everybody":       {more("ports", "tcp    1: 00000000:1538 00000000:0000 0A"), image.LeakPorts, "tcp/5432"},
		"a temporary file":             {file("/var/tmp/chain/x"), image.LeakTemp, "/var/tmp"},
		"a file with a line break":     {file("/usr/local/a\nb"), image.LeakFiles, "a\nb"},
		"a file like an allowed one":   {file("/srv-of-mine"), image.LeakFiles, "/srv-of-mine"},
		"another content":              {func(s map[string]string) { s["hashes"] = strings.Repeat("b", 64) + "  /etc/passwd\x00" }, image.LeakFiles, "not as in the base image"},
		"another mode": {func(s map[string]string) {
			s["files"] = strings.Replace(s["files"], "f\t644\troot:root\t5", "f\t666\troot:root\t5", 1)
		}, image.LeakFiles, "/etc/passwd"},
		"a package's file": {more("changed", strings.Repeat("c", 64)+"  /etc/debian_version\x00"), image.LeakFiles, "not as its package brought it"},
		"setuid": {func(s map[string]string) {
			s["files"] = strings.Replace(s["files"], "f\t644\troot:root\t4", "f\t4755\troot:root\t4", 1)
		}, image.LeakSetuid, "/etc/debian_version"},
		"capabilities":           {more("capabilities", "/usr/bin/head 0100000200040000"), image.LeakSetuid, "/usr/bin/head 0100000200040000 has capabilities"},
		"an allowed unit":        {more("units", "apache2.service"), "", ""},
		"a unit":                 {more("units", "miner.service"), image.LeakUnits, "miner.service"},
		"a failed unit":          {more("failed", "apache2.service"), image.LeakFailed, "apache2.service"},
		"an allowed port":        {more("ports", "tcp6   0: 00000000000000000000000000000000:0050 0:0000 0A"), "", ""},
		"a port":                 {more("ports", "tcp    1: 00000000:1F90 00000000:0000 0A"), image.LeakPorts, "tcp/8080"},
		"a connection":           {more("ports", "tcp    1: 00000000:1F90 01010101:0050 01"), "", ""},
		"a port of UDP":          {more("ports", "udp    1: 00000000:0035 00000000:0000 07"), image.LeakPorts, "udp/53"},
		"an allowed user":        {more("users", "www-data:x:33:33::/:/usr/sbin/nologin"), "", ""},
		"a user":                 {more("users", "eve:x:0:0::/root:/bin/bash"), image.LeakUsers, "eve:0:0:/root:/bin/bash"},
		"a user of a tool":       {more("users", "puppet:x:52:52::/:/bin/false"), image.LeakTools, "puppet"},
		"somebody's key":         {more("keys", "/home/admin/.ssh/authorized_keys ssh-ed25519 AAAA eve"), image.LeakLogin, "/home/admin/.ssh/authorized_keys"},
		"an old machine-id":      {more("identity", "/etc/machine-id"), image.LeakIdentity, "/etc/machine-id"},
		"two instances":          {more("clouds", "/var/lib/cloud/instances/i-1/\n/var/lib/cloud/instances/i-2/"), image.LeakCloud, "2 instances"},
		"what dpkg complains of": {more("audit", "half-installed: x"), image.LeakPackager, "half-installed"},
		"a slow clock":           {func(s map[string]string) { s["now"] = fmt.Sprintf("%d +0000", time.Now().Add(-time.Hour).Unix()) }, image.LeakClock, "1h"},
		"a time zone":            {func(s map[string]string) { s["now"] = fmt.Sprintf("%d +0200", time.Now().Unix()) }, image.LeakClock, "+0200"},
		"a locale":               {func(s map[string]string) { s["lang"] = "de_DE.UTF-8\nC\nPOSIX" }, image.LeakLocale, "de_DE.UTF-8"},
	} {
		t.Run(name, func(t *testing.T) {
			b.spoil.Store(x.spoil)
			leaks, err := image.Inspect(t.Context(), pipeline.Env{}, b.options(), r.Image)
			if x.class == "" {
				require.NoError(t, err)
				assert.Empty(t, leaks)
				return
			}
			assert.Equal(t, report.BakeFailed, failure(t, err).ExitStatus())
			require.NotEmpty(t, leaks)
			assert.Equal(t, x.class, leaks[0].Class)
			assert.Contains(t, leaks[0].Text, x.text)
			assert.ErrorContains(t, err, x.class)
		})
	}
	b.spoil.Store(func(map[string]string) {})
	b.onlyLeft(r.Image)

	// A bake does not keep such an image.
	put(t, b.dir, "puppet/page", "Hello World!\n")
	commit(t, b.dir, "page")
	b.spoil.Store(more("users", "eve:x:0:0::/root:/bin/bash"))
	_, err = b.bake(b.options())
	f := failure(t, err)
	assert.Equal(t, "E-BAKE-11", f.ID)
	assert.ErrorContains(t, err, "eve")
	b.onlyLeft(r.Image)
	assert.Equal(t, r.Image, b.inTemplate())

	// A list that allows everything is no list.
	put(t, b.dir, "packer/allowed/web", "file /**\n")
	commit(t, b.dir, "all")
	_, err = b.bake(b.options())
	require.ErrorContains(t, err, "packer/allowed/web:1")
	require.ErrorContains(t, err, "is not KIND PATTERN")
	put(t, b.dir, "packer/allowed/web", "")
	commit(t, b.dir, "none")
	b.spoil.Store(func(s map[string]string) { delete(s, "end") })
	_, err = b.bake(b.options())
	require.ErrorContains(t, err, "cut off")
}
