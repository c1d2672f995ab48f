package route53

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/build-deploy-chain/chain/pkg/lab/core"
	"github.com/build-deploy-chain/chain/pkg/lab/state"
	"github.com/build-deploy-chain/chain/pkg/lab/wire"
)

var validName = regexp.MustCompile(`^([a-z0-9_*]([a-z0-9_-]*[a-z0-9_])?\.)+$`)

var nameServers = []string{"ns-1.awsdns-lab-01.com", "ns-2.awsdns-lab-02.net", "ns-3.awsdns-lab-03.org", "ns-4.awsdns-lab-04.co.uk"}

func zone(tx *core.Tx, id string) (*state.HostedZone, error) {
	if z := tx.World.Zones[bareID(id)]; z != nil {
		return z, nil
	}
	return nil, &wire.Error{Code: "NoSuchHostedZone", Message: "No hosted zone found with ID: " + bareID(id), Status: 404}
}

func describe(z *state.HostedZone) HostedZone {
	return HostedZone{
		Id: "/hostedzone/" + z.ID, Name: display(z.Name), CallerReference: z.CallerReference,
		Config: HostedZoneConfig{Comment: z.Comment}, ResourceRecordSetCount: int64(len(z.Records)),
	}
}

// changeID is an id as Route 53 makes them: upper case letters and digits.
func changeID(letter string) string { return letter + strings.ToUpper(core.Hex(20)) }

// submit notes a change under way.
func submit(tx *core.Tx, comment string) ChangeInfo {
	c := &state.ZoneChange{ID: changeID("C"), Comment: comment, Submitted: tx.Now, InSyncAt: tx.After(syncing)}
	tx.World.Changes[c.ID] = c
	tx.Changed()
	return info(tx, c)
}

func info(tx *core.Tx, c *state.ZoneChange) ChangeInfo {
	out := ChangeInfo{Id: "/change/" + c.ID, Status: "PENDING", SubmittedAt: c.Submitted, Comment: c.Comment}
	if !c.InSyncAt.After(tx.Now) {
		out.Status = "INSYNC"
	}
	return out
}

// CreateHostedZone makes a public zone with its NS and SOA records.
func CreateHostedZone(tx *core.Tx, in *CreateHostedZoneInput) (*CreateHostedZoneOutput, error) {
	name := canonical(in.Name)
	if !validName.MatchString(name) || strings.Contains(name, "*") {
		return nil, wire.Errorf("InvalidDomainName", "%s is not a valid domain name", in.Name)
	}
	if in.CallerReference == "" {
		return nil, wire.Errorf("InvalidInput", "CallerReference is required")
	}
	for _, z := range tx.World.Zones {
		if z.CallerReference == in.CallerReference {
			return nil, &wire.Error{Code: "HostedZoneAlreadyExists", Message: "A hosted zone has already been created with the specified caller reference.", Status: 409}
		}
	}
	z := &state.HostedZone{ID: changeID("Z"), Name: name, CallerReference: in.CallerReference, Tags: state.Tags{}}
	if in.HostedZoneConfig != nil {
		if in.HostedZoneConfig.PrivateZone {
			return nil, wire.Errorf("InvalidInput", "The lab has public hosted zones only")
		}
		z.Comment = in.HostedZoneConfig.Comment
	}
	ns := &state.Record{Name: name, Type: "NS", TTL: 172800}
	for _, s := range nameServers {
		ns.Values = append(ns.Values, s+".")
	}
	soa := &state.Record{Name: name, Type: "SOA", TTL: 900, Values: []string{nameServers[0] + ". awsdns-hostmaster.amazon.com. 1 7200 900 1209600 86400"}}
	z.Records = []*state.Record{ns, soa}
	tx.World.Zones[z.ID] = z
	return &CreateHostedZoneOutput{
		HostedZone: describe(z), ChangeInfo: submit(tx, ""), DelegationSet: DelegationSet{NameServers: nameServers},
		Location: "https://route53.amazonaws.com/2013-04-01/hostedzone/" + z.ID,
	}, nil
}

// DeleteHostedZone deletes a zone that has only its NS and SOA records.
func DeleteHostedZone(tx *core.Tx, in *DeleteHostedZoneInput) (*DeleteHostedZoneOutput, error) {
	z, err := zone(tx, in.Id)
	if err != nil {
		return nil, err
	}
	if len(z.Records) > 2 {
		return nil, wire.Errorf("HostedZoneNotEmpty", "The specified hosted zone contains non-required resource record sets  and so cannot be deleted.")
	}
	delete(tx.World.Zones, z.ID)
	return &DeleteHostedZoneOutput{ChangeInfo: submit(tx, "")}, nil
}

// GetHostedZone tells one zone.
func GetHostedZone(tx *core.Tx, in *GetHostedZoneInput) (*GetHostedZoneOutput, error) {
	z, err := zone(tx, in.Id)
	if err != nil {
		return nil, err
	}
	return &GetHostedZoneOutput{HostedZone: describe(z), DelegationSet: DelegationSet{NameServers: nameServers}}, nil
}

// ListHostedZones lists zones in the order of their ids.
func ListHostedZones(tx *core.Tx, in *ListHostedZonesInput) (*ListHostedZonesOutput, error) {
	size, err := pageSize(tx, in.MaxItems)
	if err != nil {
		return nil, err
	}
	out := &ListHostedZonesOutput{Marker: in.Marker, MaxItems: strconv.FormatInt(size, 10)}
	for _, id := range sortedKeys(tx.World.Zones) {
		if id < in.Marker {
			continue
		}
		if int64(len(out.HostedZones)) == size {
			out.IsTruncated, out.NextMarker = true, id
			break
		}
		out.HostedZones = append(out.HostedZones, describe(tx.World.Zones[id]))
	}
	return out, nil
}

// ListHostedZonesByName lists zones in the order of their names, from DNSName
// on: the first need not have that name.
func ListHostedZonesByName(tx *core.Tx, in *ListHostedZonesByNameInput) (*ListHostedZonesByNameOutput, error) {
	size, err := pageSize(tx, in.MaxItems)
	if err != nil {
		return nil, err
	}
	var zones []*state.HostedZone
	for _, id := range sortedKeys(tx.World.Zones) {
		z := tx.World.Zones[id]
		if in.DNSName != "" {
			c := cmp.Compare(order(z.Name), order(canonical(in.DNSName)))
			if c < 0 || c == 0 && z.ID < bareID(in.HostedZoneId) {
				continue
			}
		}
		zones = append(zones, z)
	}
	slices.SortStableFunc(zones, func(a, b *state.HostedZone) int { return cmp.Compare(order(a.Name), order(b.Name)) })
	out := &ListHostedZonesByNameOutput{DNSName: in.DNSName, HostedZoneId: in.HostedZoneId, MaxItems: strconv.FormatInt(size, 10)}
	for i, z := range zones {
		if int64(i) == size {
			out.IsTruncated, out.NextDNSName, out.NextHostedZoneId = true, display(z.Name), z.ID
			break
		}
		out.HostedZones = append(out.HostedZones, describe(z))
	}
	return out, nil
}

// GetChange tells whether a change is PENDING or INSYNC.
func GetChange(tx *core.Tx, in *GetChangeInput) (*GetChangeOutput, error) {
	c := tx.World.Changes[bareID(in.Id)]
	if c == nil {
		return nil, &wire.Error{Code: "NoSuchChange", Message: fmt.Sprintf("Could not find resource with ID: %s", bareID(in.Id)), Status: 404}
	}
	return &GetChangeOutput{ChangeInfo: info(tx, c)}, nil
}

func tagsOf(tx *core.Tx, kind, id string) (*state.Tags, error) {
	switch kind {
	case "hostedzone":
		z, err := zone(tx, id)
		if err != nil {
			return nil, err
		}
		return &z.Tags, nil
	case "healthcheck":
		h, err := check(tx, id)
		if err != nil {
			return nil, err
		}
		return &h.Tags, nil
	}
	return nil, wire.Errorf("InvalidInput", "Invalid resource type '%s': it must be hostedzone or healthcheck", kind)
}

// ChangeTagsForResource sets and removes tags of a zone or a health check.
func ChangeTagsForResource(tx *core.Tx, in *ChangeTagsForResourceInput) (*ChangeTagsForResourceOutput, error) {
	tags, err := tagsOf(tx, in.ResourceType, in.ResourceId)
	if err != nil {
		return nil, err
	}
	if *tags == nil {
		*tags = state.Tags{}
	}
	for _, t := range in.AddTags {
		(*tags)[t.Key] = t.Value
	}
	for _, k := range in.RemoveTagKeys {
		delete(*tags, k)
	}
	tx.Changed()
	return &ChangeTagsForResourceOutput{}, nil
}

// ListTagsForResource tells the tags of a zone or a health check.
func ListTagsForResource(tx *core.Tx, in *ListTagsForResourceInput) (*ListTagsForResourceOutput, error) {
	tags, err := tagsOf(tx, in.ResourceType, in.ResourceId)
	if err != nil {
		return nil, err
	}
	out := &ListTagsForResourceOutput{ResourceTagSet: ResourceTagSet{ResourceType: in.ResourceType, ResourceId: bareID(in.ResourceId)}}
	for _, k := range sortedKeys(*tags) {
		out.ResourceTagSet.Tags = append(out.ResourceTagSet.Tags, Tag{Key: k, Value: (*tags)[k]})
	}
	return out, nil
}
