// Package compute is the part of EC2 that the chain needs, in the chain's own
// words: images with their snapshots, machines, the key pair and security group
// that let somebody in for a while, launch templates, and how much of the
// account's quota is used.
//
// It is the only package that imports the SDK's EC2 client, which is costly to
// compile. Nothing waits here: each function makes its calls and returns.
package compute

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/aws/smithy-go"
)

// Client talks to EC2 in one account and region. It is safe for use by several
// goroutines.
type Client struct{ api *ec2.Client }

// New makes a client.
func New(cfg aws.Config) *Client { return &Client{ec2.NewFromConfig(cfg)} }

// Tags of a resource.
type Tags map[string]string

// Image is an AMI.
type Image struct {
	ID, Name, Owner, Architecture, RootDevice string
	State                                     string // "pending", "available", "failed", …
	Reason                                    string // of a failure
	SourceInstance                            string
	Created                                   time.Time
	Snapshots                                 []string
	Encrypted                                 bool // all of its snapshots are
	Tags                                      Tags
}

// Machine is an instance.
type Machine struct {
	ID, Image, State       string
	Launched               time.Time
	Impaired               bool // a status check failed; only Machines reads it
	PublicIP, PrivateIP    string
	KeyName                string
	SecurityGroups         []string // ids
	Template, TemplateVers string   // launch template it was started from
	Reason                 string   // of the last state change
	Tags                   Tags
}

// Gone tells whether a machine has ended or is about to.
func (m Machine) Gone() bool { return m.State == "terminated" || m.State == "shutting-down" }

// Code is AWS's word for what went wrong, "" if err is not an answer of AWS.
func Code(err error) string {
	var api smithy.APIError
	if errors.As(err, &api) {
		return api.ErrorCode()
	}
	return ""
}

// Missing tells whether AWS said that what was asked for is not there.
func Missing(err error) bool {
	code := Code(err)
	return strings.HasSuffix(code, ".NotFound") || strings.HasSuffix(code, ".Unavailable") || strings.HasSuffix(code, ".Malformed")
}

func tags(list []types.Tag) Tags {
	out := Tags{}
	for _, t := range list {
		out[aws.ToString(t.Key)] = aws.ToString(t.Value)
	}
	return out
}

func (t Tags) list() []types.Tag {
	keys := make([]string, 0, len(t))
	for k := range t {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	out := make([]types.Tag, 0, len(t))
	for _, k := range keys {
		out = append(out, types.Tag{Key: aws.String(k), Value: aws.String(t[k])})
	}
	return out
}

func (t Tags) on(kinds ...types.ResourceType) []types.TagSpecification {
	if len(t) == 0 {
		return nil
	}
	var out []types.TagSpecification
	for _, k := range kinds {
		out = append(out, types.TagSpecification{ResourceType: k, Tags: t.list()})
	}
	return out
}

// filters are exact matches of tags, "*" of the value stands for any.
func (t Tags) filters() []types.Filter {
	var out []types.Filter
	for _, tag := range t.list() {
		out = append(out, filter("tag:"+aws.ToString(tag.Key), aws.ToString(tag.Value)))
	}
	return out
}

func filter(name string, values ...string) types.Filter {
	return types.Filter{Name: aws.String(name), Values: values}
}

// ImageQuery picks images. Fields that are empty do not count.
type ImageQuery struct {
	IDs   []string
	Owner string // account, or "self"
	Name  string // with wildcards
	Tags  Tags
}

// Images are those that fit, the newest first. Ids that are not there are left out.
func (c *Client) Images(ctx context.Context, q ImageQuery) ([]Image, error) {
	in := &ec2.DescribeImagesInput{ImageIds: q.IDs, Filters: q.Tags.filters(), IncludeDeprecated: aws.Bool(true)}
	if q.Owner != "" {
		in.Owners = []string{q.Owner}
	}
	if q.Name != "" {
		in.Filters = append(in.Filters, filter("name", q.Name))
	}
	var out []Image
	for p := ec2.NewDescribeImagesPaginator(c.api, in); p.HasMorePages(); {
		page, err := p.NextPage(ctx)
		if err != nil {
			if len(q.IDs) == 1 && Missing(err) {
				return nil, nil
			}
			return nil, fmt.Errorf("describe images: %w", err)
		}
		for _, i := range page.Images {
			img := Image{
				ID: aws.ToString(i.ImageId), Name: aws.ToString(i.Name), Owner: aws.ToString(i.OwnerId),
				Architecture: string(i.Architecture), RootDevice: aws.ToString(i.RootDeviceName), State: string(i.State),
				SourceInstance: aws.ToString(i.SourceInstanceId), Tags: tags(i.Tags),
			}
			if i.StateReason != nil {
				img.Reason = aws.ToString(i.StateReason.Message)
			}
			// AWS states it as text; one it cannot be read from is the oldest.
			img.Created, _ = time.Parse(time.RFC3339, aws.ToString(i.CreationDate))
			for _, d := range i.BlockDeviceMappings {
				if d.Ebs != nil && aws.ToString(d.Ebs.SnapshotId) != "" {
					img.Encrypted = aws.ToBool(d.Ebs.Encrypted) && (img.Encrypted || len(img.Snapshots) == 0)
					img.Snapshots = append(img.Snapshots, *d.Ebs.SnapshotId)
				}
			}
			out = append(out, img)
		}
	}
	slices.SortStableFunc(out, func(a, b Image) int {
		if d := b.Created.Compare(a.Created); d != 0 {
			return d
		}
		return strings.Compare(b.Name, a.Name)
	})
	return out, nil
}

// Image is one image, nil if there is none of that id.
func (c *Client) Image(ctx context.Context, id string) (*Image, error) {
	list, err := c.Images(ctx, ImageQuery{IDs: []string{id}})
	if err != nil || len(list) == 0 {
		return nil, err
	}
	return &list[0], nil
}

// Tag sets tags on resources.
func (c *Client) Tag(ctx context.Context, ids []string, t Tags) error {
	if _, err := c.api.CreateTags(ctx, &ec2.CreateTagsInput{Resources: ids, Tags: t.list()}); err != nil {
		return fmt.Errorf("tag %s: %w", strings.Join(ids, ", "), err)
	}
	return nil
}

// RemoveImage deregisters an image and deletes its snapshots. What is gone
// already is no error, and a snapshot that another image uses stays.
func (c *Client) RemoveImage(ctx context.Context, i Image) error {
	if _, err := c.api.DeregisterImage(ctx, &ec2.DeregisterImageInput{ImageId: aws.String(i.ID)}); err != nil && !Missing(err) {
		return fmt.Errorf("deregister %s: %w", i.ID, err)
	}
	for _, s := range i.Snapshots {
		if err := c.RemoveSnapshot(ctx, s); err != nil {
			return err
		}
	}
	return nil
}

// RemoveSnapshot deletes a snapshot, unless an image uses it.
func (c *Client) RemoveSnapshot(ctx context.Context, id string) error {
	_, err := c.api.DeleteSnapshot(ctx, &ec2.DeleteSnapshotInput{SnapshotId: aws.String(id)})
	if err != nil && !Missing(err) && Code(err) != "InvalidSnapshot.InUse" {
		return fmt.Errorf("delete snapshot %s: %w", id, err)
	}
	return nil
}

// Snapshot is one of a volume.
type Snapshot struct {
	ID, State, Description string
	Started                time.Time
	Tags                   Tags
}

// Snapshots are our own that have the tags.
func (c *Client) Snapshots(ctx context.Context, t Tags) ([]Snapshot, error) {
	return c.snapshots(ctx, t.filters())
}

func (c *Client) snapshots(ctx context.Context, f []types.Filter) ([]Snapshot, error) {
	in := &ec2.DescribeSnapshotsInput{OwnerIds: []string{"self"}, Filters: f}
	var out []Snapshot
	for p := ec2.NewDescribeSnapshotsPaginator(c.api, in); p.HasMorePages(); {
		page, err := p.NextPage(ctx)
		if err != nil {
			return nil, fmt.Errorf("describe snapshots: %w", err)
		}
		for _, s := range page.Snapshots {
			out = append(out, Snapshot{
				ID: aws.ToString(s.SnapshotId), State: string(s.State), Description: aws.ToString(s.Description),
				Started: aws.ToTime(s.StartTime), Tags: tags(s.Tags),
			})
		}
	}
	return out, nil
}

// SnapshotsByID are those of the ids that EC2 knows.
func (c *Client) SnapshotsByID(ctx context.Context, ids []string) ([]Snapshot, error) {
	if len(ids) == 0 {
		return nil, nil
	}
	// By a filter, ids that are not there are left out instead of failing all.
	return c.snapshots(ctx, []types.Filter{filter("snapshot-id", ids...)})
}

// Usage is how much of a quota is taken. A Limit of 0 is one that EC2 does not tell.
type Usage struct{ Used, Limit int }

// Addresses is the use of Elastic IPs in the region.
func (c *Client) Addresses(ctx context.Context) (Usage, error) {
	list, err := c.api.DescribeAddresses(ctx, &ec2.DescribeAddressesInput{})
	if err != nil {
		return Usage{}, fmt.Errorf("describe addresses: %w", err)
	}
	u := Usage{Used: len(list.Addresses), Limit: 5}
	account, err := c.api.DescribeAccountAttributes(ctx, &ec2.DescribeAccountAttributesInput{
		AttributeNames: []types.AccountAttributeName{"vpc-max-elastic-ips"},
	})
	if err != nil {
		return u, fmt.Errorf("describe account attributes: %w", err)
	}
	for _, a := range account.AccountAttributes {
		for _, v := range a.AttributeValues {
			if n := 0; aws.ToString(a.AttributeName) == "vpc-max-elastic-ips" {
				if _, err := fmt.Sscan(aws.ToString(v.AttributeValue), &n); err == nil {
					u.Limit = n
				}
			}
		}
	}
	return u, nil
}

// Networks is the use of VPCs in the region. EC2 does not tell the limit; it is
// 5 unless the account asked for more.
func (c *Client) Networks(ctx context.Context) (Usage, error) {
	u := Usage{Limit: 5}
	for p := ec2.NewDescribeVpcsPaginator(c.api, &ec2.DescribeVpcsInput{}); p.HasMorePages(); {
		page, err := p.NextPage(ctx)
		if err != nil {
			return u, fmt.Errorf("describe networks: %w", err)
		}
		u.Used += len(page.Vpcs)
	}
	return u, nil
}
