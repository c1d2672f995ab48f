package ec2

import (
	"context"
	"encoding/base64"
	"errors"
	"time"

	"github.com/build-deploy-chain/chain/pkg/lab/core"
	"github.com/build-deploy-chain/chain/pkg/lab/runtime"
	"github.com/build-deploy-chain/chain/pkg/lab/state"
)

// Waits as AWS states them.
const (
	checksTake = 60 * time.Second  // from running to status checks passed
	checksFail = 120 * time.Second // from running to status checks failed
	readable   = time.Hour         // how long a terminated instance can still be described
	copyTakes  = 60 * time.Second
	retries    = 30 * time.Second // after a runtime that could not do what was asked
)

// machineJob names the one job that may touch a machine at a time: boot, stop,
// save and removal of a machine never overlap.
func machineJob(id string) string { return "machine/" + id }

// Step starts, stops, saves and removes machines as the instances' states ask for.
func (Service) Step(tx *core.Tx) {
	for _, i := range values(tx.Region.Instances) {
		stepInstance(tx, i)
	}
	for _, v := range values(tx.Region.Volumes) {
		if v.State == "deleting" || v.Attachment != "" && v.Attachment != "attached" {
			stepVolume(tx, v)
		}
	}
	for _, img := range values(tx.Region.Images) {
		if img.State == "pending" {
			stepImage(tx, img)
		}
	}
	for _, s := range tx.Region.Snapshots {
		if s.State == "pending" && !pendingImageOf(tx, s.ID) {
			s.State = "completed"
			tx.Changed()
		}
	}
	for _, ref := range keys(tx.Region.Trash) {
		if !tx.Region.Trash[ref].IsZero() && !tx.Due(tx.Region.Trash[ref]) {
			continue
		}
		dropImage(tx, ref)
	}
}

func stepInstance(tx *core.Tx, i *state.Instance) {
	if !i.RetryAt.IsZero() {
		if !tx.Due(i.RetryAt) {
			return
		}
		i.RetryAt = time.Time{}
	}
	switch i.State {
	case "pending":
		boot(tx, i)
	case "running":
		if i.Reboot {
			reboot(tx, i)
		}
		if !i.HungAt.IsZero() && !i.Reboot {
			hang(tx, i)
			return
		}
		if i.InstanceStatus != "initializing" {
			return
		}
		if i.ChecksAt.IsZero() {
			i.ChecksAt = tx.After(checksTake)
			if i.Fault.Never {
				i.ChecksAt = tx.After(checksFail)
			}
			tx.Changed()
			return
		}
		if tx.Due(i.ChecksAt) {
			i.SystemStatus, i.InstanceStatus = "ok", "ok"
			if i.Fault.Never {
				i.InstanceStatus = "impaired"
			}
			tx.Changed()
		}
	case "stopping":
		id := i.ID
		tx.Go(machineJob(id), func(ctx context.Context) func(*core.Tx) {
			err := tx.Runtime().Stop(ctx, id)
			return func(tx *core.Tx) { stopped(tx, id, err) }
		})
	case "shutting-down":
		for _, img := range tx.Region.Images {
			if img.State == "pending" && img.SourceInstance == i.ID {
				return // its disk is still wanted
			}
		}
		id := i.ID
		tx.Go(machineJob(id), func(ctx context.Context) func(*core.Tx) {
			// The system is shut down before the machine goes: requests under way are
			// answered. One that cannot be stopped goes all the same.
			if err := tx.Runtime().Stop(ctx, id); err != nil {
				tx.Log().Debug("shut down before it goes", "instance", id, "error", err)
			}
			err := tx.Runtime().Remove(ctx, id)
			return func(tx *core.Tx) { removed(tx, id, err) }
		})
	case "terminated":
		if tx.Due(i.Terminated.Add(tx.Scale(readable))) {
			delete(tx.Region.Instances, i.ID)
			tx.Changed()
		}
	}
}

// spec is what the machine of an instance is started from.
func spec(tx *core.Tx, i *state.Instance) runtime.Spec {
	s := runtime.Spec{
		ID: i.ID, Hostname: hostname(i.PrivateIP), Fault: i.Fault,
		Labels: map[string]string{"lab": tx.World.Lab, "region": tx.Region.Name, "instance": i.ID, "name": i.Tags["Name"]},
	}
	if img := tx.Region.Images[i.ImageID]; img != nil {
		s.Image = img.Ref
	} else {
		s.Image = i.ImageID // deregistered meanwhile: the machine's own disk is what counts
	}
	s.Volumes = volumesOf(tx, i.ID)
	s.UserData, _ = base64.StdEncoding.DecodeString(i.UserData)
	if k := tx.Region.KeyPairs[i.KeyName]; k != nil {
		s.Keys = []string{k.PublicKey}
	}
	return s
}

func boot(tx *core.Tx, i *state.Instance) {
	id, s := i.ID, spec(tx, i)
	tx.Go(machineJob(id), func(ctx context.Context) func(*core.Tx) {
		_, err := tx.Runtime().Start(ctx, s)
		return func(tx *core.Tx) {
			i := tx.Region.Instances[id]
			if i == nil || i.State != "pending" {
				return // terminated meanwhile: Step removes what was started
			}
			if err != nil {
				tx.Log().Error("start of a machine failed", "instance", id, "error", err)
				i.StateCode, i.StateReason = "Server.InternalError", "Server.InternalError: "+err.Error()
				if errors.Is(err, runtime.ErrNoImage) {
					i.StateCode, i.StateReason = "Client.InvalidSnapshot.NotFound", "Client.InvalidSnapshot.NotFound: the image's snapshot does not exist"
				}
				terminating(tx, i)
				i.State = "shutting-down"
				tx.Changed()
				return
			}
			i.State = "running"
			if i.Died {
				i.Died = false
				died(tx, i)
			}
			tx.Changed()
		}
	})
}

func reboot(tx *core.Tx, i *state.Instance) {
	id, s := i.ID, spec(tx, i)
	tx.Go(machineJob(id), func(ctx context.Context) func(*core.Tx) {
		err := tx.Runtime().Stop(ctx, id)
		if err == nil || errors.Is(err, runtime.ErrNoMachine) {
			_, err = tx.Runtime().Start(ctx, s)
		}
		return func(tx *core.Tx) {
			i := tx.Region.Instances[id]
			if i == nil || i.State != "running" {
				return
			}
			i.Reboot, i.Halted = false, false
			if !i.HungAt.IsZero() {
				i.HungAt, i.InstanceStatus, i.ChecksAt = time.Time{}, "initializing", time.Time{}
			}
			if err != nil {
				tx.Log().Error("restart of a machine failed", "instance", id, "error", err)
				died(tx, i)
			}
			tx.Changed()
		}
	})
}

func stopped(tx *core.Tx, id string, err error) {
	i := tx.Region.Instances[id]
	if i == nil || i.State != "stopping" {
		return
	}
	if err != nil && !errors.Is(err, runtime.ErrNoMachine) {
		tx.Log().Error("stop of a machine failed", "instance", id, "error", err)
		i.RetryAt = tx.After(retries)
		return
	}
	i.State = "stopped"
	if eip := elasticOf(tx, id); eip == nil {
		i.PublicIP = ""
	}
	tx.Changed()
}

func elasticOf(tx *core.Tx, id string) *state.Address {
	for _, a := range tx.Region.Addresses {
		if a.InstanceID == id {
			return a
		}
	}
	return nil
}

func removed(tx *core.Tx, id string, err error) {
	i := tx.Region.Instances[id]
	if i == nil || i.State != "shutting-down" {
		return
	}
	if err != nil && !errors.Is(err, runtime.ErrNoMachine) {
		tx.Log().Error("removal of a machine failed", "instance", id, "error", err)
		i.RetryAt = tx.After(retries)
		return
	}
	i.State, i.Terminated = "terminated", tx.Now
	delete(tx.Region.Volumes, i.VolumeID)
	letGo(tx, id)
	tx.Changed()
}

// died is what happens when a machine stops by itself.
func died(tx *core.Tx, i *state.Instance) {
	i.StateCode, i.StateReason = "Client.InstanceInitiatedShutdown", "Client.InstanceInitiatedShutdown: Instance initiated shutdown"
	i.TransitionReason = ""
	i.Reboot = false
	if i.ShutdownBehavior == "terminate" {
		terminating(tx, i)
		i.State = "shutting-down"
	} else {
		i.State = "stopping"
	}
	tx.Changed()
}

// Died tells EC2 that the machine of an instance stopped by itself.
func Died(tx *core.Tx, id string) {
	for name := range tx.World.Regions {
		r := tx.In(name)
		i := r.Region.Instances[id]
		if i != nil && i.State == "pending" {
			i.Died = true
		}
		if i != nil && i.State == "running" && !i.Reboot && i.HungAt.IsZero() {
			tx.Log().Info("machine stopped by itself", "instance", id, "then", i.ShutdownBehavior)
			died(r, i)
			tx.Changed()
		}
	}
}

// Resume compares the world with what the runtime has, after the lab was away:
// machines of running instances are booted again, machines no instance has any
// more are removed.
func Resume(tx *core.Tx, machines []runtime.Status) {
	up, known := map[string]bool{}, map[string]bool{}
	for _, m := range machines {
		up[m.ID] = m.State == runtime.Running
	}
	for name := range tx.World.Regions {
		for id, i := range tx.In(name).Region.Instances {
			known[id] = i.State != "terminated"
			if i.State == "running" && !up[id] && i.HungAt.IsZero() {
				tx.Log().Info("machine is booted again", "instance", id)
				i.Reboot = true
			}
		}
		for _, d := range tx.In(name).Region.DBInstances {
			known[d.ResourceID] = true
		}
	}
	for _, m := range machines {
		id := m.ID
		if known[id] {
			continue
		}
		tx.Go(machineJob(id), func(ctx context.Context) func(*core.Tx) {
			if err := tx.Runtime().Remove(ctx, id); err != nil {
				tx.Log().Error("removal of a forgotten machine failed", "machine", id, "error", err)
			}
			return nil
		})
	}
}
