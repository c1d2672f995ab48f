// Package machines lets pkg/stack ask EC2 what only EC2 knows, without
// importing its client.
package machines

import (
	"context"

	"github.com/build-deploy-chain/chain/pkg/compute"
	"github.com/build-deploy-chain/chain/pkg/stack"
)

// stackTag is the tag that CloudFormation puts on all it makes for a stack.
const stackTag = "aws:cloudformation:stack-id"

// Of is a client as pkg/stack wants it.
func Of(c *compute.Client) stack.Machines { return machines{c} }

type machines struct{ c *compute.Client }

func (m machines) Machines(ctx context.Context, ids []string) ([]stack.Machine, error) {
	list, err := m.c.Machines(ctx, ids)
	if err != nil {
		return nil, err
	}
	out := make([]stack.Machine, 0, len(list))
	for _, i := range list {
		out = append(out, stack.Machine{ID: i.ID, Image: i.Image, State: i.State, Launched: i.Launched, Impaired: i.Impaired})
	}
	return out, nil
}

func (m machines) LaunchTemplate(ctx context.Context, id, version string) (stack.LaunchTemplate, error) {
	t, err := m.c.LaunchTemplate(ctx, id, version)
	return stack.LaunchTemplate(t), err
}

func (m machines) Console(ctx context.Context, id string) (string, error) {
	return m.c.Console(ctx, id)
}

func (m machines) Left(ctx context.Context, stackID string) ([]string, error) {
	return m.c.Left(ctx, compute.Tags{stackTag: stackID})
}
