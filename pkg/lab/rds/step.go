package rds

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/build-deploy-chain/chain/pkg/lab/core"
	"github.com/build-deploy-chain/chain/pkg/lab/runtime"
	"github.com/build-deploy-chain/chain/pkg/lab/state"
)

// How long things take at AWS, about: nobody states it.
const (
	creating  = 4 * time.Minute
	backup    = time.Minute
	modifying = time.Minute
	rebooting = 30 * time.Second
	deleting  = 2 * time.Minute
	snapping  = 90 * time.Second
	copying   = 2 * time.Minute
	retries   = 30 * time.Second // after a runtime that could not do what was asked
)

// machineJob names the one job that may touch a machine at a time.
func machineJob(id string) string { return "machine/" + id }

// Step starts, saves and removes the machines that databases are.
func (Service) Step(tx *core.Tx) {
	for _, s := range values(tx.Region.DBSnapshots) {
		stepSnapshot(tx, s)
	}
	for _, d := range values(tx.Region.DBInstances) {
		stepInstance(tx, d)
	}
}

func stepInstance(tx *core.Tx, d *state.DBInstance) {
	if !d.RetryAt.IsZero() {
		if !tx.Due(d.RetryAt) {
			return
		}
		d.RetryAt = time.Time{}
	}
	switch d.Status {
	case "creating", "modifying", "rebooting":
		switch {
		case !d.Done:
			start(tx, d)
		case !tx.Due(d.Until):
		case d.Status == "creating" && d.Retention > 0:
			d.Status, d.Until = "backing-up", tx.After(backup)
			tx.Changed()
		default:
			d.Status, d.Until = "available", time.Time{}
			tx.Changed()
		}
	case "backing-up":
		if !saving(tx, d) && tx.Due(d.Until) {
			d.Status, d.Until = "available", time.Time{}
			tx.Changed()
		}
	case "deleting":
		switch {
		case saving(tx, d):
		case !d.Done:
			remove(tx, d)
		case tx.Due(d.Until):
			delete(tx.Region.DBInstances, d.ID)
			tx.Changed()
		}
	}
}

// saving says whether a snapshot of the database is under way.
func saving(tx *core.Tx, d *state.DBInstance) bool {
	for _, s := range tx.Region.DBSnapshots {
		if s.ResourceID == d.ResourceID && s.Status == "creating" && s.Source == "" {
			return true
		}
	}
	return false
}

// start brings the machine up, or, where it runs, makes it what it shall be.
func start(tx *core.Tx, d *state.DBInstance) {
	id, reboot := d.ID, d.Status == "rebooting"
	spec := runtime.Spec{
		ID: d.ResourceID, Image: d.Image, Hostname: "ip-" + strings.ReplaceAll(d.PrivateIP, ".", "-"),
		Labels:   map[string]string{"lab": tx.World.Lab, "region": tx.Region.Name, "database": d.ID},
		Database: &runtime.DatabaseSpec{Port: int(d.Port), User: d.User, Password: d.Password, Name: d.Name, Names: []string{host(tx, d.ID)}},
	}
	tx.Go(machineJob(d.ResourceID), func(ctx context.Context) func(*core.Tx) {
		var err error
		if reboot {
			if err = tx.Runtime().Stop(ctx, spec.ID); errors.Is(err, runtime.ErrNoMachine) {
				err = nil
			}
		}
		if err == nil {
			_, err = tx.Runtime().Start(ctx, spec)
		}
		return func(tx *core.Tx) { started(tx, id, spec, err) }
	})
}

func started(tx *core.Tx, id string, spec runtime.Spec, err error) {
	d := tx.Region.DBInstances[id]
	if d == nil || d.ResourceID != spec.ID || d.Status == "deleting" {
		return
	}
	if spec.Database.Password != d.Password || spec.Database.Port != int(d.Port) {
		return // changed meanwhile: Step starts it once more
	}
	d.Done = true
	if err != nil {
		tx.Log().Error("start of a database failed", "database", id, "error", err)
		d.Status, d.Problem = "failed", err.Error()
	}
	tx.Changed()
	if spec.Image != runtime.Database {
		discard(tx, spec.Image) // its snapshot may be gone by now
	}
}

func remove(tx *core.Tx, d *state.DBInstance) {
	id, machine := d.ID, d.ResourceID
	tx.Go(machineJob(machine), func(ctx context.Context) func(*core.Tx) {
		err := tx.Runtime().Remove(ctx, machine)
		return func(tx *core.Tx) {
			d := tx.Region.DBInstances[id]
			if d == nil || d.ResourceID != machine || d.Status != "deleting" {
				return
			}
			d.Done = err == nil
			if err != nil {
				tx.Log().Error("removal of a database failed", "database", id, "error", err)
				d.RetryAt = tx.After(retries)
			}
			tx.Changed()
		}
	})
}

func stepSnapshot(tx *core.Tx, s *state.DBSnapshot) {
	if s.Status != "creating" || !s.RetryAt.IsZero() && !tx.Due(s.RetryAt) {
		return
	}
	if s.Done {
		if tx.Due(s.Until) {
			s.Status = "available"
			tx.Changed()
		}
		return
	}
	id, machine, ref := s.ID, s.ResourceID, s.Ref
	tx.Go(machineJob(machine), func(ctx context.Context) func(*core.Tx) {
		err := tx.Runtime().Save(ctx, machine, ref)
		return func(tx *core.Tx) {
			s := tx.Region.DBSnapshots[id]
			if s == nil || s.Ref != ref {
				return
			}
			s.Done, s.RetryAt = err == nil, time.Time{}
			if err != nil {
				tx.Log().Error("snapshot of a database failed", "database", s.InstanceID, "error", err)
				s.RetryAt = tx.After(retries)
			}
			tx.Changed()
		}
	})
}

// Died is told that a machine stopped by itself: RDS brings it up again.
func Died(tx *core.Tx, machine string) {
	for name := range tx.World.Regions {
		for _, d := range tx.In(name).Region.DBInstances {
			if d.ResourceID == machine {
				again(tx, d)
			}
		}
	}
}

// Resume compares the world with what the runtime has, after the lab was away.
func Resume(tx *core.Tx, machines []runtime.Status) {
	up := map[string]bool{}
	for _, m := range machines {
		up[m.ID] = m.State == runtime.Running
	}
	for name := range tx.World.Regions {
		for _, d := range tx.In(name).Region.DBInstances {
			if !up[d.ResourceID] {
				again(tx, d)
			}
		}
	}
}

func again(tx *core.Tx, d *state.DBInstance) {
	if d.Status != "available" && d.Status != "backing-up" {
		return // it is on its way
	}
	tx.Log().Info("database is started again", "database", d.ID)
	d.Status, d.Done, d.Until = "rebooting", false, tx.After(rebooting)
	tx.Changed()
}
