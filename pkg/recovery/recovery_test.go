package recovery_test

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/route53"
	"github.com/aws/aws-sdk-go-v2/service/route53/types"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/build-deploy-chain/chain/pkg/lab"
	"github.com/build-deploy-chain/chain/pkg/pipeline"
	"github.com/build-deploy-chain/chain/pkg/recovery"
	"github.com/build-deploy-chain/chain/pkg/release"
	"github.com/build-deploy-chain/chain/pkg/report"
	"github.com/build-deploy-chain/chain/pkg/trail"
)

func TestALostRegionIsRecoveredInTheOther(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	key := w.produce(t)
	assert.Equal(t, key, w.get(t, "/version"))

	// While production works there is nothing to recover, here or there.
	for _, region := range []string{home, away} {
		err := w.refused(t, recovery.Options{Chain: w.chain(t, region)})
		require.ErrorContains(t, err, "production works in "+home)
		assert.Equal(t, report.Guard, report.Code(err))
	}

	w.lose(t, home, true)
	s := recovery.New(recovery.Options{Chain: w.chain(t, away)})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	// Somebody presses Ctrl-C before the domain is led to what is up by then.
	err := s.Do(ctx, w.tell(t, func(e pipeline.Event) {
		if e.Kind == pipeline.Started && e.Step == "note that production is up" {
			cancel()
		}
	}))
	require.Error(t, err)
	assert.Equal(t, report.Detached, report.Code(err))

	s = w.recover(t, away)
	assert.Equal(t, key, w.get(t, "/version"), "users get the page of the new region")
	assert.Len(t, s.Report.Was, 2, "what the domain led to before is kept")
	list := history(t, w.chain(t, away))
	require.Len(t, list, 1)
	assert.Equal(t, trail.Recovered, list[0].Outcome.Result)
	assert.Equal(t, trail.Recovery, list[0].Operation)
	assert.Empty(t, list[0].Evidence)

	outcome, rows := s.Summary(time.Second)
	assert.Contains(t, report.FormatSummary(outcome, rows...), "recovered-unrehearsed")
	var r recovery.Report
	b, err := os.ReadFile(strings.TrimSuffix(s.Report.Files, ".html") + ".json")
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(b, &r))
	assert.Positive(t, r.Took)
	var moments []string
	for _, m := range r.Moments {
		moments = append(moments, m.Name)
	}
	assert.Equal(t, []string{recovery.T2, recovery.T3, recovery.T5, recovery.T6}, moments)
	assert.NotEmpty(t, r.Checks)
	assert.NotEmpty(t, r.Steps)
	page, err := os.ReadFile(s.Report.Files)
	require.NoError(t, err)
	assert.Contains(t, string(page), recovery.T6)
	assert.NotRegexp(t, `(src|href)=`, string(page), "the page loads nothing")
	c := w.chain(t, away)
	_, ok, err := c.Trail.Read(t.Context(), recovery.RecordPath(c.Place, "recovery"))
	require.NoError(t, err)
	assert.True(t, ok, "the trail has the report")

	// From here on it is production like any other, released from that region.
	next := w.chain(t, away).Start()
	require.NoError(t, next.Do(t.Context(), w.tell(t)))
	assert.NotEmpty(t, next.Nothing)

	err = w.refused(t, recovery.Options{Chain: w.chain(t, away)})
	require.ErrorContains(t, err, "production works in "+away)
}

func domainIsLedBack(t *testing.T, w *world) {
	c := w.chain(t, home)
	was := record(t, c, "www.hello.example.")
	_, err := c.DNS.ChangeResourceRecordSets(t.Context(), change(t, c, types.ChangeActionUpsert, "www.hello.example.", "198.51.100.1"))
	require.NoError(t, err)

	c.Target.Ask = true
	err = recovery.Switch(t.Context(), w.tell(t), c, false)
	assert.Equal(t, report.Declined, report.Code(err))
	assert.Equal(t, []string{"198.51.100.1"}, record(t, c, "www.hello.example."))
	c.Ask = func(context.Context, string) (string, error) { return "www.hello.example\n", nil }
	require.NoError(t, recovery.Switch(t.Context(), w.tell(t), c, false))
	assert.Equal(t, was, record(t, c, "www.hello.example."))

	err = recovery.Switch(t.Context(), w.tell(t), w.chain(t, away), true)
	require.ErrorContains(t, err, "there is no stack")
}

func nothingServes(t *testing.T, w *world) {
	err := recovery.Switch(t.Context(), w.tell(t), w.chain(t, home), true)
	require.ErrorContains(t, err, "does not serve")
	err = w.refused(t, recovery.Options{Chain: w.chain(t, home)})
	require.ErrorContains(t, err, "does not work")
}

// Whatever would stop a recovery is told at once, each with its remedy.
func TestEverythingInTheWayIsToldAtOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.configure(t, "domain: www.hello.example\n    zone: hello.example", "domain: www.other.example\n    zone: other.example")
	w.configure(t, "        sizes:", "        certificate: arn:aws:acm:"+home+":111111111111:certificate/11111111-2222-3333-4444-555555555555\n        sizes:")
	w.write(t, filepath.Join(w.clone, "untracked"), "work in progress")
	c := w.chain(t, away)
	cfg, err := c.Target.AWS(t.Context())
	require.NoError(t, err)
	for range 4 {
		_, err := ec2.NewFromConfig(cfg).AllocateAddress(t.Context(), &ec2.AllocateAddressInput{})
		require.NoError(t, err)
	}
	err = w.refused(t, recovery.Options{
		Chain: c, At: time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC),
		Station: func(context.Context) ([]string, error) { return []string{"packer"}, nil },
	})
	f := report.AsFailure(err)
	assert.Equal(t, report.Guard, f.Code)
	assert.Equal(t, "E-DR-03", f.ID)
	for what, remedy := range map[string]string{
		"the working tree is not clean":       "git status",
		"4 of 5 Elastic IP addresses":         "Service Quotas",
		"has no hosted zone other.example":    "create-hosted-zone",
		"it lacks packer":                     "./station.sh setup",
		"the certificate is of " + home:       "request-certificate --region " + away,
		"keeps no data, there is none of 202": "without -at",
	} {
		assert.Contains(t, f.What, what)
		assert.Contains(t, strings.Join(f.Next, "\n"), remedy)
	}
}

func TestAHalfCopiedImageIsTold(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(o *lab.Options) { o.Factor = 1 }) // the copy takes as long as on AWS
	ami, _ := w.baked(t, home)
	c := w.chain(t, away)
	cfg, err := c.Target.AWS(t.Context())
	require.NoError(t, err)
	_, err = ec2.NewFromConfig(cfg).CopyImage(t.Context(), &ec2.CopyImageInput{
		Name: aws.String("copy"), SourceImageId: aws.String(ami), SourceRegion: aws.String(home), CopyImageTags: aws.Bool(true),
	})
	require.NoError(t, err)
	err = w.refused(t, recovery.Options{Chain: c})
	require.ErrorContains(t, err, "half-copied")
	assert.Contains(t, strings.Join(report.AsFailure(err).Next, "\n"), "-bake")
}

// CloudFormation would refuse to make a record that is there, at the very end.
func TestARecordInTheWayIsTold(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.baked(t, home)
	c := w.chain(t, home)
	in := change(t, c, types.ChangeActionCreate, "www.hello.example.", "198.51.100.1")
	_, err := c.DNS.ChangeResourceRecordSets(t.Context(), in)
	require.NoError(t, err)
	err = w.refused(t, recovery.Options{Chain: c})
	require.ErrorContains(t, err, "has a record already (198.51.100.1)")
	assert.Contains(t, strings.Join(report.AsFailure(err).Next, "\n"), `"Action":"DELETE"`)

	in.ChangeBatch.Changes[0].Action = types.ChangeActionDelete
	_, err = c.DNS.ChangeResourceRecordSets(t.Context(), in)
	require.NoError(t, err)
	in = change(t, c, types.ChangeActionCreate, "www.hello.example.", "elsewhere.example")
	in.ChangeBatch.Changes[0].ResourceRecordSet.Type = types.RRTypeCname
	_, err = c.DNS.ChangeResourceRecordSets(t.Context(), in)
	require.NoError(t, err)
	err = w.refused(t, recovery.Options{Chain: w.chain(t, away)})
	require.ErrorContains(t, err, "not ours to lead")
}

func change(t testing.TB, c *release.Chain, action types.ChangeAction, name, value string) *route53.ChangeResourceRecordSetsInput {
	t.Helper()
	zones, err := c.DNS.ListHostedZones(t.Context(), &route53.ListHostedZonesInput{})
	require.NoError(t, err)
	return &route53.ChangeResourceRecordSetsInput{
		HostedZoneId: zones.HostedZones[0].Id,
		ChangeBatch: &types.ChangeBatch{Changes: []types.Change{{Action: action, ResourceRecordSet: &types.ResourceRecordSet{
			Name: aws.String(name), Type: types.RRTypeA, TTL: aws.Int64(60), ResourceRecords: []types.ResourceRecord{{Value: aws.String(value)}},
		}}}},
	}
}

func record(t testing.TB, c *release.Chain, name string) []string {
	t.Helper()
	zones, err := c.DNS.ListHostedZones(t.Context(), &route53.ListHostedZonesInput{})
	require.NoError(t, err)
	list, err := c.DNS.ListResourceRecordSets(t.Context(), &route53.ListResourceRecordSetsInput{HostedZoneId: zones.HostedZones[0].Id, StartRecordName: aws.String(name), StartRecordType: types.RRTypeA})
	require.NoError(t, err)
	var out []string
	for _, r := range list.ResourceRecordSets {
		if aws.ToString(r.Name) == name {
			for _, v := range r.ResourceRecords {
				out = append(out, aws.ToString(v.Value))
			}
		}
	}
	return out
}
