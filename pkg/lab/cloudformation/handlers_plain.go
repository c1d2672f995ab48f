package cloudformation

import (
	"slices"
	"strings"

	"github.com/build-deploy-chain/chain/pkg/lab/cloudformation/schema"
	"github.com/build-deploy-chain/chain/pkg/lab/core"
)

// handlerOf is what there is to do with a resource type; nil for one that the
// lab does not know. A type of the tables without code of its own is kept and
// does nothing.
func handlerOf(kind string) *handler {
	if h := handlers[kind]; h != nil {
		return h
	}
	if schema.Lookup(kind) == nil {
		return nil
	}
	return plain
}

var plain = &handler{
	create: func(tx *core.Tx, c *call) (string, error) {
		kind := schema.Lookup(c.res.Type)
		by := kind.Identifier[0]
		switch {
		case !slices.Contains(kind.ReadOnly, by):
			return c.named(by, 128), nil
		case isARN(by):
			return arnOf(tx, kind, c.name(128)), nil
		}
		return core.UUID(), nil
	},
	remove: func(*core.Tx, *call) error { return nil },
	attributes: func(tx *core.Tx, c *call) map[string]any {
		kind := schema.Lookup(c.res.Type)
		out := map[string]any{}
		for _, name := range kind.Attributes {
			switch {
			case slices.Contains(kind.Identifier, name) || !isARN(name) && !c.props.has(name):
				out[name] = c.id
			case isARN(name):
				out[name] = arnOf(tx, kind, c.id)
			}
		}
		return out
	},
}

func init() { handlers["AWS::S3::Bucket"] = bucketHandler() }

// bucketHandler keeps a bucket that nobody can put anything into: the lab has no S3.
func bucketHandler() *handler {
	h := *plain
	h.create = func(_ *core.Tx, c *call) (string, error) { return strings.ToLower(c.named("BucketName", 63)), nil }
	h.attributes = func(tx *core.Tx, c *call) map[string]any {
		return map[string]any{
			"Arn": "arn:aws:s3:::" + c.id, "DomainName": c.id + ".s3.amazonaws.com", "RegionalDomainName": c.id + ".s3." + tx.Region.Name + ".amazonaws.com",
			"DualStackDomainName": c.id + ".s3.dualstack." + tx.Region.Name + ".amazonaws.com", "WebsiteURL": "http://" + c.id + ".s3-website-" + tx.Region.Name + ".amazonaws.com",
		}
	}
	return &h
}

func isARN(name string) bool { return strings.HasSuffix(strings.ToLower(name), "arn") }

// arnOf is an ARN as most services make them: service, the type's name and the resource's.
func arnOf(tx *core.Tx, kind *schema.Type, name string) string {
	parts := strings.Split(kind.Name, "::")
	return tx.ARN(strings.ToLower(parts[1]), strings.ToLower(parts[2])+"/"+name)
}
