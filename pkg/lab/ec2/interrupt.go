package ec2

import (
	"context"
	"time"

	"github.com/build-deploy-chain/chain/pkg/lab/core"
	"github.com/build-deploy-chain/chain/pkg/lab/state"
	"github.com/build-deploy-chain/chain/pkg/lab/wire"
)

// SendDiagnosticInterruptInput names a running instance.
type SendDiagnosticInterruptInput struct{ InstanceId string }

// SendDiagnosticInterrupt lets the kernel of an instance panic, as one does that
// is set to do so and not to boot again (kernel.unknown_nmi_panic=1,
// kernel.panic=0): it stays running, nothing in it answers any more, and its
// status check fails a while later.
func SendDiagnosticInterrupt(tx *core.Tx, in *SendDiagnosticInterruptInput) (*Done, error) {
	list, err := findInstances(tx, []string{in.InstanceId})
	if err != nil {
		return nil, err
	}
	i := list[0]
	if i.State != "running" {
		return nil, wire.Errorf("IncorrectInstanceState", "The instance '%s' is not in a state from which a diagnostic interrupt can be sent.", i.ID)
	}
	if i.HungAt.IsZero() {
		i.HungAt = tx.Now
		tx.Changed()
	}
	return done, nil
}

// hang ends the machine of an instance whose kernel has panicked, and lets its
// check fail in time.
func hang(tx *core.Tx, i *state.Instance) {
	if i.InstanceStatus == "impaired" {
		return
	}
	if tx.Due(i.HungAt.Add(tx.Scale(checksFail))) {
		i.InstanceStatus, i.ChecksAt = "impaired", time.Time{}
		tx.Changed()
	}
	if i.Halted {
		return
	}
	id := i.ID
	tx.Go(machineJob(id), func(ctx context.Context) func(*core.Tx) {
		err := tx.Runtime().Stop(ctx, id)
		return func(tx *core.Tx) {
			if i := tx.Region.Instances[id]; i != nil && err == nil {
				i.Halted = true
				tx.Changed()
			}
		}
	})
}
