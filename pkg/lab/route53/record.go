package route53

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/build-deploy-chain/chain/pkg/lab/core"
	"github.com/build-deploy-chain/chain/pkg/lab/state"
	"github.com/build-deploy-chain/chain/pkg/lab/wire"
)

var recordTypes = []string{"A", "AAAA", "CAA", "CNAME", "MX", "NS", "PTR", "SOA", "SPF", "SRV", "TXT", "HTTPS"}

// ListResourceRecordSets lists the records of a zone by name, then type.
func ListResourceRecordSets(tx *core.Tx, in *ListResourceRecordSetsInput) (*ListResourceRecordSetsOutput, error) {
	z, err := zone(tx, in.HostedZoneId)
	if err != nil {
		return nil, err
	}
	size, err := pageSize(tx, in.MaxItems)
	if err != nil {
		return nil, err
	}
	if in.StartRecordType != "" && in.StartRecordName == "" {
		return nil, wire.Errorf("InvalidInput", "If you specify a record type, you must also specify a record name")
	}
	records := slices.Clone(z.Records)
	slices.SortStableFunc(records, compare)
	out := &ListResourceRecordSetsOutput{MaxItems: strconv.FormatInt(size, 10)}
	start := &state.Record{Name: canonical(in.StartRecordName), Type: in.StartRecordType, SetIdentifier: in.StartRecordIdentifier}
	for _, r := range records {
		if in.StartRecordName != "" && compare(r, start) < 0 {
			continue
		}
		if int64(len(out.ResourceRecordSets)) == size {
			out.IsTruncated, out.NextRecordName, out.NextRecordType, out.NextRecordIdentifier = true, display(r.Name), r.Type, r.SetIdentifier
			break
		}
		out.ResourceRecordSets = append(out.ResourceRecordSets, describeRecord(r))
	}
	return out, nil
}

func compare(a, b *state.Record) int {
	return cmp.Or(cmp.Compare(order(a.Name), order(b.Name)), cmp.Compare(a.Type, b.Type), cmp.Compare(a.SetIdentifier, b.SetIdentifier))
}

func describeRecord(r *state.Record) ResourceRecordSet {
	out := ResourceRecordSet{Name: display(r.Name), Type: r.Type, SetIdentifier: r.SetIdentifier, Weight: r.Weight}
	if r.AliasName != "" {
		out.AliasTarget = &AliasTarget{HostedZoneId: r.AliasZone, DNSName: r.AliasName, EvaluateTargetHealth: &r.AliasEvaluate}
		return out
	}
	out.TTL = &r.TTL
	for _, v := range r.Values {
		out.ResourceRecords = append(out.ResourceRecords, ResourceRecord{Value: v})
	}
	return out
}

// ChangeResourceRecordSets applies a batch of changes whole, or tells all that is wrong with it.
func ChangeResourceRecordSets(tx *core.Tx, in *ChangeResourceRecordSetsInput) (*ChangeResourceRecordSetsOutput, error) {
	z, err := zone(tx, in.HostedZoneId)
	if err != nil {
		return nil, err
	}
	if len(in.ChangeBatch.Changes) == 0 {
		return nil, wire.Errorf("InvalidInput", "The change batch must contain at least one change")
	}
	records := slices.Clone(z.Records)
	var faults []string
	for _, c := range in.ChangeBatch.Changes {
		next, fault := apply(z.Name, records, c)
		if fault != "" {
			faults = append(faults, fault)
			continue
		}
		records = next
	}
	if len(faults) > 0 {
		return nil, wire.Errorf("InvalidChangeBatch", "[%s]", strings.Join(faults, ", "))
	}
	z.Records = records
	return &ChangeResourceRecordSetsOutput{ChangeInfo: submit(tx, in.ChangeBatch.Comment)}, nil
}

// apply is records with one change, or what is wrong with it. It never changes a record in place.
func apply(zone string, records []*state.Record, c Change) ([]*state.Record, string) {
	r, fault := record(zone, c.ResourceRecordSet)
	if fault != "" {
		return nil, fault
	}
	what := fmt.Sprintf("resource record set [name='%s', type='%s'", display(r.Name), r.Type)
	if r.SetIdentifier != "" {
		what += fmt.Sprintf(", set identifier='%s'", r.SetIdentifier)
	}
	what += "]"
	found := slices.IndexFunc(records, func(x *state.Record) bool { return compare(x, r) == 0 })
	switch c.Action {
	case "DELETE":
		switch {
		case found < 0:
			return nil, "Tried to delete " + what + " but it was not found"
		case !equal(records[found], r):
			return nil, "Tried to delete " + what + " but the values provided do not match the current values"
		case r.Name == zone && (r.Type == "NS" || r.Type == "SOA"):
			return nil, fmt.Sprintf("A HostedZone must contain exactly one %s record", r.Type)
		}
		return slices.Delete(slices.Clone(records), found, found+1), ""
	case "CREATE":
		if found >= 0 {
			return nil, "Tried to create " + what + " but it already exists"
		}
	case "UPSERT":
	default:
		return nil, fmt.Sprintf("Invalid action '%s': it must be CREATE, DELETE or UPSERT", c.Action)
	}
	for _, x := range records {
		if x.Name != r.Name || compare(x, r) == 0 {
			continue
		}
		if x.Type != r.Type && (x.Type == "CNAME" || r.Type == "CNAME") {
			return nil, fmt.Sprintf("RRSet of type %s with DNS name %s is not permitted as it conflicts with other records with the same DNS name in zone %s", r.Type, display(r.Name), zone)
		}
		if x.Type == r.Type && (x.SetIdentifier == "") != (r.SetIdentifier == "") {
			return nil, fmt.Sprintf("RRSet with DNS name %s, type %s cannot be created as a non-weighted set exists with the same name and type", display(r.Name), r.Type)
		}
	}
	next := slices.Clone(records)
	if found >= 0 {
		next[found] = r
		return next, ""
	}
	return append(next, r), ""
}

func equal(a, b *state.Record) bool {
	return a.TTL == b.TTL && a.AliasName == b.AliasName && a.AliasZone == b.AliasZone && slices.Equal(slices.Sorted(slices.Values(a.Values)), slices.Sorted(slices.Values(b.Values)))
}

// record is a record set as kept, or what is wrong with it.
func record(zone string, in ResourceRecordSet) (*state.Record, string) {
	r := &state.Record{Name: canonical(in.Name), Type: in.Type, SetIdentifier: in.SetIdentifier, Weight: in.Weight}
	switch {
	case !validName.MatchString(r.Name):
		return nil, fmt.Sprintf("FATAL problem: DomainLabelEmpty or invalid (Domain label is empty or invalid) encountered with '%s'", in.Name)
	case r.Name != zone && !strings.HasSuffix(r.Name, "."+zone):
		return nil, fmt.Sprintf("RRSet with DNS name %s is not permitted in zone %s", display(r.Name), zone)
	case !slices.Contains(recordTypes, r.Type):
		return nil, fmt.Sprintf("Invalid record type '%s'", r.Type)
	case r.Type == "CNAME" && r.Name == zone:
		return nil, fmt.Sprintf("RRSet of type CNAME with DNS name %s is not permitted at apex in zone %s", r.Name, zone)
	case (r.Weight == nil) != (r.SetIdentifier == ""):
		return nil, fmt.Sprintf("Missing or superfluous field: the lab has simple records, and weighted ones with Weight and SetIdentifier (name='%s')", display(r.Name))
	}
	if a := in.AliasTarget; a != nil {
		if len(in.ResourceRecords) > 0 || in.TTL != nil {
			return nil, fmt.Sprintf("Invalid request: an alias with DNS name %s must not have records or a TTL", display(r.Name))
		}
		r.AliasName, r.AliasZone = canonical(a.DNSName), a.HostedZoneId
		r.AliasEvaluate = a.EvaluateTargetHealth != nil && *a.EvaluateTargetHealth
		return r, ""
	}
	if len(in.ResourceRecords) == 0 || in.TTL == nil {
		return nil, fmt.Sprintf("Invalid request: Missing field 'TTL' or 'ResourceRecords' in ResourceRecordSet with DNS name %s", display(r.Name))
	}
	r.TTL = *in.TTL
	for _, v := range in.ResourceRecords {
		ip, err := netip.ParseAddr(v.Value)
		if r.Type == "A" && (err != nil || !ip.Is4()) {
			return nil, fmt.Sprintf("Invalid Resource Record: 'FATAL problem: ARRDATAIllegalIPv4Address (Value is not a valid IPv4 address) encountered with '%s''", v.Value)
		}
		if slices.Contains(r.Values, v.Value) {
			return nil, fmt.Sprintf("Duplicate Resource Record: '%s'", v.Value)
		}
		r.Values = append(r.Values, v.Value)
	}
	return r, ""
}

// Answer is what a name leads to: addresses, or another name to ask for. Found
// is false if no zone has the name.
type Answer struct {
	Found     bool
	Addresses []string
	Next      string
}

// Lookup answers for the address records of a name from the lab's zones. pick
// chooses among weighted records: a number in [0,n).
func Lookup(w *state.World, name string, pick func(n int64) int64) Answer {
	name = canonical(name)
	var z *state.HostedZone
	for _, id := range sortedKeys(w.Zones) {
		candidate := w.Zones[id]
		inside := name == candidate.Name || strings.HasSuffix(name, "."+candidate.Name)
		if inside && (z == nil || len(candidate.Name) > len(z.Name)) {
			z = candidate
		}
	}
	if z == nil {
		return Answer{}
	}
	sets := named(z, name)
	// A wildcard stands in for a name that has no records of its own.
	for rest := name; len(sets) == 0 && rest != z.Name; {
		_, rest, _ = strings.Cut(rest, ".")
		sets = named(z, "*."+rest)
	}
	var fitting []*state.Record
	for _, r := range sets {
		if r.Type == "A" || r.Type == "CNAME" {
			fitting = append(fitting, r)
		}
	}
	r := weighted(fitting, pick)
	switch {
	case r == nil:
		return Answer{Found: len(sets) > 0}
	case r.AliasName != "":
		return Answer{Found: true, Next: r.AliasName}
	case r.Type == "CNAME":
		return Answer{Found: true, Next: canonical(r.Values[0])}
	}
	return Answer{Found: true, Addresses: slices.Clone(r.Values)}
}

func named(z *state.HostedZone, name string) []*state.Record {
	var out []*state.Record
	for _, r := range z.Records {
		if r.Name == name {
			out = append(out, r)
		}
	}
	return out
}

func weighted(records []*state.Record, pick func(n int64) int64) *state.Record {
	if len(records) == 0 {
		return nil
	}
	var sum int64
	for _, r := range records {
		if r.Weight != nil {
			sum += *r.Weight
		}
	}
	if sum == 0 {
		return records[0]
	}
	n := pick(sum)
	for _, r := range records {
		if r.Weight == nil {
			continue
		}
		if n < *r.Weight {
			return r
		}
		n -= *r.Weight
	}
	return records[0]
}
