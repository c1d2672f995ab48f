package recovery

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/build-deploy-chain/chain/pkg/pipeline"
	"github.com/build-deploy-chain/chain/pkg/release"
	"github.com/build-deploy-chain/chain/pkg/report"
	"github.com/build-deploy-chain/chain/pkg/stack"
)

// Switch leads an environment's domain to its stack in the chain's region: back
// to the first one, say, after a recovery. It refuses a stack that does not
// serve, and does nothing if the domain leads there already. yes approves it
// beforehand.
func Switch(ctx context.Context, env pipeline.Env, c *release.Chain, yes bool) error {
	var is *stack.State
	return pipeline.Do(ctx, env, c,
		pipeline.Func("look whether the stack serves", func(ctx context.Context, _ *pipeline.Run, c *release.Chain) error {
			if err := c.Target.Guard(ctx); err != nil {
				return refusal("the domain stays where it is", c, []Fault{faultOf("account", c.Place.Region, err)})
			}
			var err error
			is, err = c.Stack().Read(ctx)
			if err == nil {
				err = Works(ctx, c, c.Compute, is)
			}
			if errors.Is(err, stack.ErrAbsent) {
				return &report.Failure{
					Code: report.Policy, ID: "E-DR-05", What: "there is no stack " + c.Environment.Stack() + " in " + c.Place.Region, State: "nothing was changed",
					Next: []string{"CHAIN_REGION=" + c.Place.Region + " ./station.sh release", "./station.sh dr:recover -region=" + c.Place.Region},
				}
			}
			if err != nil && ctx.Err() == nil {
				return &report.Failure{
					Code: report.Policy, ID: "E-DR-05", What: c.Environment.Stack() + " in " + c.Place.Region + " does not serve", State: "nothing was changed",
					Next: []string{"CHAIN_REGION=" + c.Place.Region + " ./station.sh status"}, Err: err,
				}
			}
			return err
		}),
		pipeline.Func("approve", func(ctx context.Context, run *pipeline.Run, c *release.Chain) error {
			if leads, err := leadsTo(ctx, c, addresses(is)); err != nil || leads {
				return err
			}
			run.Note("%s will lead to %s in %s", c.Environment.Domain, strings.Join(addresses(is), ", "), c.Place.Region)
			if !c.Target.Ask || yes {
				return nil
			}
			declined := &report.Failure{Code: report.Declined, ID: "E-DR-08", What: "not approved", State: "nothing was changed", Next: []string{"the same command with -yes"}}
			if c.Ask == nil {
				return declined
			}
			answer, err := c.Ask(ctx, fmt.Sprintf("Type %s to lead it there: ", c.Environment.Domain))
			if err == nil && strings.TrimSpace(answer) != c.Environment.Domain {
				return declined
			}
			return err
		}),
		pipeline.Func("lead the domain there", func(ctx context.Context, run *pipeline.Run, c *release.Chain) error {
			_, err := lead(ctx, run, c, addresses(is))
			return err
		}),
	)
}
