package route53

import "time"

// HostedZone as the API describes it; Id has the prefix "/hostedzone/".
type HostedZone struct {
	Id                     string
	Name                   string
	CallerReference        string
	Config                 HostedZoneConfig
	ResourceRecordSetCount int64
}

// HostedZoneConfig of a zone.
type HostedZoneConfig struct {
	Comment     string
	PrivateZone bool
}

// DelegationSet lists a zone's name servers.
type DelegationSet struct {
	NameServers []string `wire:",item=NameServer"`
}

// ResourceRecordSet is all records of one name and type (and SetIdentifier).
type ResourceRecordSet struct {
	Name            string
	Type            string
	SetIdentifier   string
	Weight          *int64
	TTL             *int64
	ResourceRecords []ResourceRecord `wire:",item=ResourceRecord"`
	AliasTarget     *AliasTarget
}

// ResourceRecord is one value.
type ResourceRecord struct{ Value string }

// AliasTarget points to a load balancer's name.
type AliasTarget struct {
	HostedZoneId, DNSName string
	EvaluateTargetHealth  *bool
}

// ChangeInfo is the state of a change: "PENDING", then "INSYNC".
type ChangeInfo struct {
	Id          string
	Status      string
	SubmittedAt time.Time
	Comment     string
}

// Change of one record set: "CREATE", "DELETE" or "UPSERT".
type Change struct {
	Action            string
	ResourceRecordSet ResourceRecordSet
}

// ChangeBatch is applied whole or not at all.
type ChangeBatch struct {
	Comment string
	Changes []Change `wire:",item=Change"`
}

// CreateHostedZoneInput asks for a public zone.
type CreateHostedZoneInput struct {
	Name, CallerReference string
	HostedZoneConfig      *HostedZoneConfig
}

// CreateHostedZoneOutput is the new zone with its SOA and NS records under way.
type CreateHostedZoneOutput struct {
	HostedZone    HostedZone
	ChangeInfo    ChangeInfo
	DelegationSet DelegationSet
	Location      string `wire:",header"`
}

// DeleteHostedZoneInput names an empty zone.
type DeleteHostedZoneInput struct{ Id string }

// DeleteHostedZoneOutput is the change under way.
type DeleteHostedZoneOutput struct{ ChangeInfo ChangeInfo }

// GetHostedZoneInput names a zone.
type GetHostedZoneInput struct{ Id string }

// GetHostedZoneOutput is the zone.
type GetHostedZoneOutput struct {
	HostedZone    HostedZone
	DelegationSet DelegationSet
}

// ListHostedZonesInput asks for one page of all zones.
type ListHostedZonesInput struct {
	Marker   string `wire:"marker,query"`
	MaxItems *int64 `wire:"maxitems,query"`
}

// ListHostedZonesOutput is one page.
type ListHostedZonesOutput struct {
	HostedZones []HostedZone `wire:",item=HostedZone"`
	Marker      string
	IsTruncated bool
	NextMarker  string
	MaxItems    string
}

// ListHostedZonesByNameInput lists zones in the order of names, starting at DNSName.
type ListHostedZonesByNameInput struct {
	DNSName      string `wire:"dnsname,query"`
	HostedZoneId string `wire:"hostedzoneid,query"`
	MaxItems     *int64 `wire:"maxitems,query"`
}

// ListHostedZonesByNameOutput is one page.
type ListHostedZonesByNameOutput struct {
	HostedZones      []HostedZone `wire:",item=HostedZone"`
	DNSName          string
	HostedZoneId     string
	IsTruncated      bool
	NextDNSName      string
	NextHostedZoneId string
	MaxItems         string
}

// ListResourceRecordSetsInput lists the records of a zone, starting at a name and type.
type ListResourceRecordSetsInput struct {
	HostedZoneId          string
	StartRecordName       string `wire:"name,query"`
	StartRecordType       string `wire:"type,query"`
	StartRecordIdentifier string `wire:"identifier,query"`
	MaxItems              *int64 `wire:"maxitems,query"`
}

// ListResourceRecordSetsOutput is one page.
type ListResourceRecordSetsOutput struct {
	ResourceRecordSets   []ResourceRecordSet `wire:",item=ResourceRecordSet"`
	IsTruncated          bool
	NextRecordName       string
	NextRecordType       string
	NextRecordIdentifier string
	MaxItems             string
}

// ChangeResourceRecordSetsInput changes records of a zone.
type ChangeResourceRecordSetsInput struct {
	HostedZoneId string
	ChangeBatch  ChangeBatch
}

// ChangeResourceRecordSetsOutput is the change under way.
type ChangeResourceRecordSetsOutput struct{ ChangeInfo ChangeInfo }

// GetChangeInput names a change.
type GetChangeInput struct{ Id string }

// GetChangeOutput is its state.
type GetChangeOutput struct{ ChangeInfo ChangeInfo }

// Tag of a zone.
type Tag struct{ Key, Value string }

// ChangeTagsForResourceInput sets and removes tags of a zone.
type ChangeTagsForResourceInput struct {
	ResourceType, ResourceId string
	AddTags                  []Tag    `wire:",item=Tag"`
	RemoveTagKeys            []string `wire:",item=Key"`
}

// ChangeTagsForResourceOutput is empty.
type ChangeTagsForResourceOutput struct{}

// ListTagsForResourceInput names a zone.
type ListTagsForResourceInput struct{ ResourceType, ResourceId string }

// ListTagsForResourceOutput holds its tags.
type ListTagsForResourceOutput struct{ ResourceTagSet ResourceTagSet }

// ResourceTagSet is one resource's tags.
type ResourceTagSet struct {
	ResourceType, ResourceId string
	Tags                     []Tag `wire:",item=Tag"`
}
