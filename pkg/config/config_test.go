package config_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/build-deploy-chain/chain/pkg/config"
)

const small = `sites:
  web:
    role: web
    domain: www.hello.example
    environments:
      production:
        regions: [eu-west-1]
        sizes: {instances: 2}
`

func parse(t *testing.T, text string, environ ...string) (*config.Config, error) {
	t.Helper()
	return config.Parse(t.TempDir(), []byte(text), environ)
}

func TestDefaults(t *testing.T) {
	c, err := parse(t, small)
	require.NoError(t, err)
	assert.Equal(t, "lab", c.Target)
	site, err := c.Site("")
	require.NoError(t, err)
	assert.Equal(t, "hello.example", site.Zone)
	e, err := site.Environment("")
	require.NoError(t, err)
	assert.Equal(t, "web-production", e.Stack())
	assert.Equal(t, "www.hello.example", e.Domain)
	assert.Equal(t, config.Sizes{Zones: 2, Instances: 2, Min: 2, Max: 4, InstanceType: "t3.small"}, e.Sizes)
	assert.Zero(t, e.Monitoring)
}

func TestTheShippedFile(t *testing.T) {
	c, err := config.Load(filepath.Join("..", ".."), nil)
	require.NoError(t, err)
	assert.Equal(t, "lab", c.Target)
	site, err := c.Site("web")
	require.NoError(t, err)
	e, err := site.Environment("production")
	require.NoError(t, err)
	assert.Equal(t, []string{"eu-west-1"}, e.Regions)
	assert.Equal(t, 2, e.Sizes.Instances)
	assert.Equal(t, 2, e.Sizes.Zones)
	assert.Equal(t, "www.hello.example", e.Domain)
	assert.Empty(t, e.Account, "a clone must not name somebody's account")
}

func TestBrokenFilesTellEveryFaultWithItsLine(t *testing.T) {
	for name, c := range map[string]struct {
		text    string
		environ []string
		want    []string // in order
	}{
		"empty":            {"", nil, []string{"line 1: empty, at least sites is needed"}},
		"not a mapping":    {"- a\n", nil, []string{"line 1: is a list, not a mapping"}},
		"not YAML":         {"sites:\n  web: [\n", nil, []string{"not YAML: "}},
		"a tab":            {"sites:\n\tweb: 1\n", nil, []string{"line 2: not YAML: "}},
		"no sites":         {"target: lab\n", nil, []string{"line 1: sites: is missing"}},
		"sites is empty":   {"sites: {}\n", nil, []string{"line 1: sites: is empty"}},
		"unknown key":      {"tarket: lab\n" + small, nil, []string{"line 1: tarket: no such key, did you mean target?"}},
		"unknown target":   {"target: gcp\n" + small, nil, []string{`line 1: target: is "gcp", not lab or aws`}},
		"key twice":        {"target: lab\ntarget: aws\n" + small, nil, []string{"line 2: target: is given twice, first on line 1"}},
		"bad site name":    {strings.Replace(small, "  web:", "  Web Site:", 1), nil, []string{"line 2: sites.Web Site: is not a site's name"}},
		"reserved name":    {strings.Replace(small, "production:", "test-1:", 1), nil, []string{"line 7: sites.web.environments.test-1: is a name that the chain itself uses"}},
		"number as text":   {strings.Replace(small, "instances: 2", "instances: two", 1), nil, []string{`line 8: sites.web.environments.production.sizes.instances: is "two", not a number`}},
		"no instance":      {strings.Replace(small, "instances: 2", "instances: 0", 1), nil, []string{"line 8: sites.web.environments.production.sizes.instances: is 0, not 1 to 50"}},
		"one zone":         {strings.Replace(small, "instances: 2", "instances: 2, zones: 1", 1), nil, []string{"sizes.zones: is 1, not 2 to 4"}},
		"no room to roll":  {strings.Replace(small, "instances: 2", "instances: 4, max: 7", 1), nil, []string{"sizes.max: is 7, less than twice instances (8)"}},
		"min over desired": {strings.Replace(small, "instances: 2", "instances: 2, min: 3", 1), nil, []string{"sizes.min: is 3, more than instances (2)"}},
		"region not list":  {strings.Replace(small, "[eu-west-1]", "eu-west-1", 1), nil, []string{`regions: is "eu-west-1", not a list of at least one`}},
		"region twice":     {strings.Replace(small, "[eu-west-1]", "[eu-west-1, eu-west-1]", 1), nil, []string{"regions[1]: eu-west-1 is given twice"}},
		"bad region":       {strings.Replace(small, "[eu-west-1]", "[europe]", 1), nil, []string{`regions[0]: is "europe", not a region's name`}},
		"zone elsewhere":   {strings.Replace(small, "role: web", "role: web\n    zone: other.example", 1), nil, []string{"line 4: sites.web.zone: www.hello.example is not in zone other.example"}},
		"live elsewhere":   {strings.Replace(small, "regions:", "live: [us-east-1]\n        regions:", 1), nil, []string{`live[0]: is "us-east-1", which is not in regions`}},
		"account as int":   {strings.Replace(small, "regions:", "account: 12345\n        regions:", 1), nil, []string{`account: is "12345", not 12 digits in quotes`}},
		"monitoring":       {strings.Replace(small, "regions:", "monitoring: 90s\n        regions:", 1), nil, []string{"monitoring: is 1m30s, not whole minutes"}},
		"monitoring long":  {strings.Replace(small, "regions:", "monitoring: 4h\n        regions:", 1), nil, []string{"monitoring: is 4h, not 0s to 3h0m0s"}},
		"user data away":   {strings.Replace(small, "role: web", "role: web\n    user_data: ../x", 1), nil, []string{`user_data: is "../x", not a path inside the repository`}},
		"no environments":  {"sites:\n  web:\n    role: web\n    domain: www.hello.example\n", nil, []string{"line 3: sites.web.environments: is missing"}},
		"aws, no account":  {"target: aws\n" + small, nil, []string{"sites.web.environments.production: target aws needs account"}},
		"variable":         {small, []string{"CHAIN_TARGT=aws"}, []string{"CHAIN_TARGT: no such variable, did you mean CHAIN_TARGET?"}},
		"variable's value": {small, []string{"CHAIN_TARGET=moon"}, []string{`CHAIN_TARGET: is "moon", not lab or aws`}},
		"variable's site":  {small, []string{"CHAIN_SITE=shop"}, []string{`CHAIN_SITE: is "shop", chain.yaml has web`}},
		"several at once": {"target: moon\nsites:\n  web:\n    domian: x\n    role: 'Web'\n    environments:\n      production:\n        regions: []\n        sizes: {instances: many, colour: red}\n", nil, []string{
			`line 1: target: is "moon"`, "line 4: sites.web.domian: no such key, did you mean domain?", "line 4: sites.web.domain: is missing",
			`line 5: sites.web.role: is "Web", not a role's name`, "line 8: sites.web.environments.production.regions: is a list, not a list of at least one",
			"line 9: sites.web.environments.production.sizes.instances: is \"many\"", "line 9: sites.web.environments.production.sizes.colour: no such key; known are",
		}},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := parse(t, c.text, c.environ...)
			require.Error(t, err)
			assert.Nil(t, got)
			var faults *config.Error
			require.ErrorAs(t, err, &faults)
			assert.Len(t, faults.Faults, len(c.want), err.Error())
			for _, w := range c.want {
				assert.ErrorContains(t, err, w)
			}
			for i := 1; i < len(faults.Faults); i++ {
				assert.LessOrEqual(t, faults.Faults[i-1].Line, faults.Faults[i].Line)
			}
		})
	}
}

func TestNoFile(t *testing.T) {
	_, err := config.Load(t.TempDir(), nil)
	require.ErrorIs(t, err, config.ErrNoFile)
}

func TestVariablesOverride(t *testing.T) {
	c, err := parse(t, small, "CHAIN_TARGET=aws", "CHAIN_ACCOUNT=123456789012", "CHAIN_TRAIL_REMOTE=upstream", "CHAIN_TRAIL_BRANCH=trail")
	require.NoError(t, err)
	e := c.Sites["web"].Environments["production"]
	target, err := c.For(e, "")
	require.NoError(t, err)
	assert.Equal(t, "aws", target.Name)
	assert.Equal(t, "123456789012", target.Account)
	assert.Equal(t, "eu-west-1", target.Region)
	assert.Equal(t, "upstream", target.Remote)
	assert.Equal(t, "trail", target.Branch)
	assert.Equal(t, c.Dir, target.GitDir)
	assert.True(t, target.Ask)
	assert.Empty(t, target.Endpoint)
	assert.Empty(t, target.SOCKS)
	assert.InDelta(t, 1, target.Factor, 0)
	assert.Equal(t, time.Hour, target.Scale(time.Hour))
}

func TestOtherEnvironmentsHaveTheirOwnName(t *testing.T) {
	c, err := parse(t, strings.Replace(small, "production:", "staging:", 1))
	require.NoError(t, err)
	site := c.Sites["web"]
	assert.Equal(t, "web-staging.hello.example", site.Environments["staging"].Domain)
	_, err = site.Environment("")
	require.EqualError(t, err, `site web has no environment "production", it has staging`)
	_, err = c.Site("shop")
	require.EqualError(t, err, `site "shop" is not in chain.yaml, which has web`)
}

func TestTargetAWSRefusesOtherEndpoints(t *testing.T) {
	aws := []string{"CHAIN_TARGET=aws", "CHAIN_ACCOUNT=123456789012"}
	for value, ok := range map[string]bool{
		"http://127.0.0.1:4566":                  false,
		"http://ec2.eu-west-1.amazonaws.com":     false, // in the clear
		"https://amazonaws.com.evil.example":     false,
		"https://ec2.eu-west-1.amazonaws.com":    true,
		"https://vpce-1.ec2.vpce.amazonaws.com/": true,
	} {
		c, err := parse(t, small, append(aws, "AWS_ENDPOINT_URL_EC2="+value)...)
		require.NoError(t, err)
		_, err = c.For(c.Sites["web"].Environments["production"], "eu-west-1")
		if ok {
			require.NoError(t, err, value)
			continue
		}
		require.ErrorIs(t, err, config.ErrElsewhere, value)
		require.ErrorContains(t, err, "AWS_ENDPOINT_URL_EC2")
	}
}

func TestTargetNeedsAKnownRegion(t *testing.T) {
	c, err := parse(t, small)
	require.NoError(t, err)
	_, err = c.For(c.Sites["web"].Environments["production"], "us-east-1")
	require.EqualError(t, err, "web-production is not in region us-east-1, but in eu-west-1")
}

func TestLabThatDoesNotRun(t *testing.T) {
	c, err := parse(t, small)
	require.NoError(t, err)
	e := c.Sites["web"].Environments["production"]
	_, err = c.For(e, "")
	require.ErrorIs(t, err, config.ErrNoLab)

	require.NoError(t, os.MkdirAll(c.LabDir(), 0o755))
	require.NoError(t, os.WriteFile(filepath.Join(c.LabDir(), "lab.json"), []byte(`{"id":"x"`), 0o600))
	_, err = c.For(e, "")
	require.ErrorIs(t, err, config.ErrNoLab)
}

func TestLabIsFoundByItsFile(t *testing.T) {
	dir := t.TempDir()
	c, err := parse(t, small, "CHAIN_LAB="+dir, "CHAIN_LAB_FACTOR=50", "AWS_ENDPOINT_URL=https://ec2.eu-west-1.amazonaws.com")
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "lab.json"), []byte(`{"id":"x","pid":1,"api":"127.0.0.1:4599","socks":"127.0.0.1:4600","build":"b","started":"2026-11-23T10:00:00Z"}`), 0o600))
	target, err := c.For(c.Sites["web"].Environments["production"], "")
	require.NoError(t, err)
	assert.Equal(t, "http://127.0.0.1:4599", target.Endpoint)
	assert.Equal(t, "127.0.0.1:4600", target.SOCKS)
	assert.Equal(t, "111111111111", target.Account)
	assert.False(t, target.Ask)
	assert.Equal(t, 2*time.Second, target.Scale(100*time.Second))
	assert.Equal(t, config.Poll{Min: 100 * time.Millisecond, Max: time.Second}, target.Poll)
	for _, path := range []string{target.Remote, target.GitDir} {
		assert.True(t, strings.HasPrefix(path, dir), "the lab's trail is kept with the lab: %s", path)
	}
	env, err := target.Environ(t.Context())
	require.NoError(t, err)
	assert.Contains(t, env, "AWS_ENDPOINT_URL=http://127.0.0.1:4599")
	assert.Contains(t, env, "AWS_REGION=eu-west-1")
}

func rules(t *testing.T, more ...string) (config.Rules, error) {
	t.Helper()
	c, err := parse(t, small+strings.Join(more, ""))
	if err != nil {
		return config.Rules{}, err
	}
	return c.Sites["web"].Environments["production"].Rules, nil
}

func TestFreezes(t *testing.T) {
	r, err := rules(t)
	require.NoError(t, err)
	assert.Equal(t, 7*24*time.Hour, r.Evidence)
	assert.True(t, r.MayRelease("anybody@example.com"))
	r, err = rules(t, `        evidence: 24h
        releasers: ["*@OPS.example", "arn:aws:sts::*:assumed-role/Release*"]
        freezes:
          - {from: 2026-12-20, to: 2027-01-04T06:00+01:00, owner: Jo, reason: the sale}
          - {weekly: Fri 16:00 - Mon 07:00 Europe/Berlin, owner: Jo, reason: nobody is there}
          - {weekly: wednesday 12:00-wed 13:00, owner: Jo, reason: lunch}
`)
	require.NoError(t, err)
	assert.Equal(t, 24*time.Hour, r.Evidence)
	for at, want := range map[string]string{
		"2026-12-19T23:59:59Z":      "nobody is there", // a Saturday
		"2026-12-20T00:00:00Z":      "the sale",
		"2027-01-04T04:59:59Z":      "the sale",
		"2027-01-04T05:00:00Z":      "nobody is there", // 06:00 in Berlin
		"2027-01-04T06:00:00Z":      "",
		"2026-11-27T14:59:59Z":      "",
		"2026-11-27T15:00:00Z":      "nobody is there",
		"2026-07-03T14:00:00Z":      "nobody is there", // 16:00 in summer
		"2026-11-29T12:00:00Z":      "nobody is there",
		"2026-11-25T13:30:00+01:00": "lunch",
		"2026-11-25T13:00:00Z":      "",
	} {
		when, err := time.Parse(time.RFC3339, at)
		require.NoError(t, err)
		got := ""
		if f := r.Frozen(when); f != nil {
			got = f.Reason
		}
		assert.Equal(t, want, got, at)
	}
	assert.True(t, r.MayRelease("jo@ops.example", ""))
	assert.True(t, r.MayRelease("jo@dev.example", "arn:aws:sts::123456789012:assumed-role/Releasers/jo"))
	assert.False(t, r.MayRelease("jo@dev.example", "arn:aws:iam::123456789012:user/jo"))
	assert.False(t, r.MayRelease(""))
}

func TestBadRulesAreToldAtOnce(t *testing.T) {
	_, err := parse(t, "minimum: 99.0.0\n"+small+`        evidence: soon
        releasers: ["[", jo@ops.example]
        freezes:
          - {from: 2027-01-04, to: 2026-12-20, owner: Jo, reason: the sale}
          - {weekly: always, owner: Jo}
          - {weekly: Fri 16:00 - Mon 07:00 Europe/Nowhere, owner: Jo, reason: x}
          - {owner: Jo, reason: x, until: 2027-01-01}
          - {weekly: Fri 25:00 - Fri 25:00, owner: Jo, reason: x}
`)
	var e *config.Error
	require.ErrorAs(t, err, &e)
	for _, want := range []string{
		"wants version 99.0.0", "not a duration", "releasers[0]", "is not after from", "freezes[1].reason: is missing", `"always", not such as`,
		`"Europe/Nowhere" is no time zone`, "freezes[3].until", "needs either weekly", "25:00 is no time of day",
	} {
		assert.Contains(t, err.Error(), want)
	}
	_, err = parse(t, "minimum: "+config.Version+"\n"+small)
	require.NoError(t, err)
}

func TestImagesOfOtherRoles(t *testing.T) {
	c, err := parse(t, small)
	require.NoError(t, err)
	site := c.Sites["web"]
	own := config.Image{Role: "web", Puppet: "web", Specs: "web", Site: "web", Parameter: "ImageId"}
	assert.Equal(t, []config.Image{own}, c.Roles(site), "one image needs no words")

	c, err = parse(t, small+"images:\n  worker: {site: web, parameter: WorkerImageId, specs: jobs}\n  web: {puppet: frontend}\n")
	require.NoError(t, err)
	own.Puppet = "frontend"
	worker := config.Image{Role: "worker", Puppet: "worker", Specs: "jobs", Site: "web", Parameter: "WorkerImageId"}
	assert.Equal(t, []config.Image{own, worker}, c.Roles(c.Sites["web"]))
	assert.Empty(t, c.Loose())
	c, err = parse(t, small+"images:\n  ci: {specs: jobs}\n")
	require.NoError(t, err)
	assert.Equal(t, []config.Image{{Role: "ci", Puppet: "ci", Specs: "jobs"}}, c.Loose(), "no site names it")
	assert.Len(t, c.Roles(c.Sites["web"]), 1)

	_, err = parse(t, small+`images:
  a: {parameter: A}
  b: {site: other, parameter: ImageId}
  c: {site: web, parameter: C}
  d: {site: web, parameter: C, specs: image_contract}
  e: {}
  f: {specs: queue}
  g: {site: web}
`)
	for _, want := range []string{
		"6 faults", "line 10: images.a.site: is missing", "line 16: images.g.parameter: is missing", `line 11: images.b.site: is "other", there are sites web`,
		"line 11: images.b.parameter: is ImageId, which is of the site's own role", "line 13: images.d.parameter: is that of image c, too",
		"line 13: images.d: is a name that the chain itself uses",
	} {
		assert.ErrorContains(t, err, want)
	}
}

func TestKeysOfRegions(t *testing.T) {
	const key = "arn:aws:kms:us-east-1:123456789012:key/1"
	two := strings.Replace(small, "[eu-west-1]", "[eu-west-1, us-east-1]", 1)
	c, err := parse(t, two+"        keys: {us-east-1: "+key+"}\n")
	require.NoError(t, err)
	assert.Equal(t, key, c.Sites["web"].Environments["production"].Keys["us-east-1"])
	_, err = parse(t, two+"        keys: {us-east-1: mine, eu-north-1: "+key+"}\n")
	assert.ErrorContains(t, err, `keys.us-east-1: is "mine"`)
	assert.ErrorContains(t, err, "keys.eu-north-1")
}

func TestADatabaseIsReadStrictly(t *testing.T) {
	const site = "sites:\n  shop:\n    role: shop\n    domain: shop.hello.example\n    environments:\n      production:\n        regions: [eu-west-1]\n        sizes: {instances: 1}\n"
	c, err := config.Parse(".", []byte(site), nil)
	require.NoError(t, err)
	assert.Nil(t, c.Sites["shop"].Environments["production"].Database, "none unless it is said")
	c, err = config.Parse(".", []byte(site+"        database: {class: db.t4g.small, multi_az: true, rehearse: empty}\n"), nil)
	require.NoError(t, err)
	assert.Equal(t, &config.Database{Class: "db.t4g.small", Storage: 20, Version: "17", MultiAZ: true, Empty: true}, c.Sites["shop"].Environments["production"].Database)
	_, err = config.Parse(".", []byte(site+"        database: {storage: 5, multi_az: maybe, rehearse: never, snapshot: a/b, size: 3}\n"), nil)
	for _, fault := range []string{"database.class: is missing", "database.storage: is 5, not 20 to 65536", `database.multi_az: is "maybe", not true or false`, `database.rehearse: is "never", not empty or copy`, "database.snapshot: is", "database.size: no such key"} {
		require.ErrorContains(t, err, fault)
	}
}
