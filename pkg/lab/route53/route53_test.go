package route53_test

import (
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/route53"
	"github.com/aws/aws-sdk-go-v2/service/route53/types"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/build-deploy-chain/chain/pkg/lab"
	"github.com/build-deploy-chain/chain/pkg/lab/internal/labtest"
)

func record(name, kind string, values ...string) *types.ResourceRecordSet {
	r := &types.ResourceRecordSet{Name: aws.String(name), Type: types.RRType(kind), TTL: aws.Int64(60)}
	for _, v := range values {
		r.ResourceRecords = append(r.ResourceRecords, types.ResourceRecord{Value: aws.String(v)})
	}
	return r
}

func TestRecordsByRealClient(t *testing.T) {
	l := lab.Start(t, func(o *lab.Options) { o.Factor = 100 })
	c := route53.NewFromConfig(labtest.AWS(t, l.Endpoint()))
	zones, err := c.ListHostedZonesByName(t.Context(), &route53.ListHostedZonesByNameInput{DNSName: aws.String("hello.example")})
	require.NoError(t, err)
	require.Len(t, zones.HostedZones, 1)
	zone := zones.HostedZones[0]
	assert.Equal(t, "hello.example.", *zone.Name)
	assert.Regexp(t, `^/hostedzone/Z[0-9A-F]+$`, *zone.Id)

	change := func(action types.ChangeAction, r *types.ResourceRecordSet) (*route53.ChangeResourceRecordSetsOutput, error) {
		return c.ChangeResourceRecordSets(t.Context(), &route53.ChangeResourceRecordSetsInput{
			HostedZoneId: zone.Id, ChangeBatch: &types.ChangeBatch{Comment: aws.String("test"), Changes: []types.Change{{Action: action, ResourceRecordSet: r}}},
		})
	}
	out, err := change(types.ChangeActionCreate, record("www.hello.example", "A", "198.51.100.1", "198.51.100.2"))
	require.NoError(t, err)
	assert.Equal(t, types.ChangeStatusPending, out.ChangeInfo.Status)
	assert.Equal(t, "test", *out.ChangeInfo.Comment)
	labtest.Eventually(t, "the change is in sync", func() bool {
		got, err := c.GetChange(t.Context(), &route53.GetChangeInput{Id: out.ChangeInfo.Id})
		require.NoError(t, err)
		return got.ChangeInfo.Status == types.ChangeStatusInsync
	})

	for said, call := range map[string]func() error{
		"but it already exists": func() error { _, err := change("CREATE", record("www.hello.example", "A", "198.51.100.1")); return err },
		"but it was not found":  func() error { _, err := change("DELETE", record("w.hello.example", "A", "198.51.100.1")); return err },
		"but the values provided do not match the current values": func() error {
			_, err := change("DELETE", record("www.hello.example", "A", "198.51.100.1"))
			return err
		},
		"is not permitted in zone hello.example.": func() error { _, err := change("CREATE", record("www.other.example", "A", "198.51.100.1")); return err },
		"is not a valid IPv4 address":             func() error { _, err := change("UPSERT", record("www.hello.example", "A", "300.1.1.1")); return err },
		"conflicts with other records":            func() error { _, err := change("CREATE", record("www.hello.example", "CNAME", "x.")); return err },
	} {
		err := call()
		require.ErrorContains(t, err, said)
		var batch *types.InvalidChangeBatch
		require.ErrorAs(t, err, &batch)
	}
	list, err := c.ListResourceRecordSets(t.Context(), &route53.ListResourceRecordSetsInput{HostedZoneId: zone.Id})
	require.NoError(t, err)
	var names []string
	for _, r := range list.ResourceRecordSets {
		names = append(names, *r.Name+" "+string(r.Type))
	}
	assert.Equal(t, []string{"hello.example. NS", "hello.example. SOA", "www.hello.example. A"}, names, "bad batches changed nothing")
	assert.Len(t, list.ResourceRecordSets[2].ResourceRecords, 2)
	first, err := c.ListResourceRecordSets(t.Context(), &route53.ListResourceRecordSetsInput{HostedZoneId: zone.Id, MaxItems: aws.Int32(2)})
	require.NoError(t, err)
	assert.True(t, first.IsTruncated)
	assert.Equal(t, "www.hello.example.", *first.NextRecordName)
	rest, err := c.ListResourceRecordSets(t.Context(), &route53.ListResourceRecordSetsInput{HostedZoneId: zone.Id, StartRecordName: first.NextRecordName, StartRecordType: first.NextRecordType})
	require.NoError(t, err)
	assert.Len(t, rest.ResourceRecordSets, 1)

	_, err = change("DELETE", record("www.hello.example", "A", "198.51.100.2", "198.51.100.1"))
	require.NoError(t, err)
	_, err = c.GetHostedZone(t.Context(), &route53.GetHostedZoneInput{Id: aws.String("ZNOPE")})
	var missing *types.NoSuchHostedZone
	require.ErrorAs(t, err, &missing)
}

func TestZonesByRealClient(t *testing.T) {
	l := lab.Start(t)
	c := route53.NewFromConfig(labtest.AWS(t, l.Endpoint()))
	in := &route53.CreateHostedZoneInput{Name: aws.String("other.example"), CallerReference: aws.String("r1"), HostedZoneConfig: &types.HostedZoneConfig{Comment: aws.String("x")}}
	made, err := c.CreateHostedZone(t.Context(), in)
	require.NoError(t, err)
	assert.Len(t, made.DelegationSet.NameServers, 4)
	assert.Contains(t, *made.Location, "/2013-04-01/hostedzone/")
	_, err = c.CreateHostedZone(t.Context(), in)
	var twice *types.HostedZoneAlreadyExists
	require.ErrorAs(t, err, &twice)
	all, err := c.ListHostedZones(t.Context(), &route53.ListHostedZonesInput{})
	require.NoError(t, err)
	assert.Len(t, all.HostedZones, 2)
	_, err = c.ChangeTagsForResource(t.Context(), &route53.ChangeTagsForResourceInput{
		ResourceType: types.TagResourceTypeHostedzone, ResourceId: made.HostedZone.Id, AddTags: []types.Tag{{Key: aws.String("a"), Value: aws.String("b")}},
	})
	require.NoError(t, err)
	tags, err := c.ListTagsForResource(t.Context(), &route53.ListTagsForResourceInput{ResourceType: types.TagResourceTypeHostedzone, ResourceId: made.HostedZone.Id})
	require.NoError(t, err)
	assert.Equal(t, "b", *tags.ResourceTagSet.Tags[0].Value)
	_, err = c.DeleteHostedZone(t.Context(), &route53.DeleteHostedZoneInput{Id: made.HostedZone.Id})
	require.NoError(t, err)
}
