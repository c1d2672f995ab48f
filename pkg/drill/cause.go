package drill

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/autoscaling"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch/types"

	"github.com/build-deploy-chain/chain/pkg/template"
)

// data puts values for the alarms' own metrics, three times in each minute, until
// all of them fire.
func (d *drill) data(ctx context.Context, list []*alarm) error {
	d.Tell("putting data for %d alarms", len(list))
	d.begin(list)
	err := d.await(ctx, "fire", list, func(a *alarm) bool {
		return a.Seconds > 0
	}, func(ctx context.Context) error {
		return d.putAll(ctx, list, func(a *alarm) float64 { return a.cause.Value })
	})
	if err != nil {
		return err
	}
	d.begin(list)
	return d.await(ctx, "clear", list, d.quiet)
}

// putAll puts a value for each alarm's metric, unless that was done a moment ago.
func (d *drill) putAll(ctx context.Context, list []*alarm, value func(*alarm) float64) error {
	now := d.Clock.Now()
	if now.Sub(d.put) < d.scale(20*time.Second) {
		return nil
	}
	d.put = now
	for _, a := range list {
		_, err := a.cw.PutMetricData(ctx, &cloudwatch.PutMetricDataInput{Namespace: a.spec.Namespace, MetricData: []types.MetricDatum{{
			MetricName: a.spec.MetricName, Dimensions: a.spec.Dimensions, Value: aws.Float64(value(a)), Timestamp: aws.Time(now),
		}}})
		if err != nil {
			return fmt.Errorf("put data for alarm %s: %w", a.ID, err)
		}
	}
	return nil
}

// silence waits until the alarms fire for want of data, since nobody tells the ages of
// a test stack. Then it puts good values until they clear, and bad ones until they fire
// again: their periods are too long to see the end of those.
func (d *drill) silence(ctx context.Context, list []*alarm) error {
	d.Tell("%d alarms fire since nobody puts their data", len(list))
	fires := func(a *alarm) bool { return a.now == types.StateValueAlarm }
	began := d.Clock.Now()
	err := d.await(ctx, "fire for want of data", list, func(a *alarm) bool {
		if fires(a) && a.Seconds == 0 {
			a.Seconds = max(d.seconds(began), 0.1)
		}
		return fires(a)
	})
	if err != nil {
		return err
	}
	d.begin(list)
	err = d.await(ctx, "clear", list, func(a *alarm) bool { return a.now == types.StateValueOk }, func(ctx context.Context) error {
		return d.putAll(ctx, list, func(a *alarm) float64 { return a.cause.Value })
	})
	if err != nil {
		return err
	}
	d.put = time.Time{}
	return d.await(ctx, "fire at a bad value", list, fires, func(ctx context.Context) error {
		return d.putAll(ctx, list, func(a *alarm) float64 {
			beyond := aws.ToFloat64(a.spec.Threshold) + 1
			if strings.HasPrefix(string(a.spec.ComparisonOperator), "Less") {
				beyond -= 2
			}
			return beyond
		})
	})
}

// unreachable closes the way to the instances, and lets one of them hang.
func (d *drill) unreachable(ctx context.Context, list []*alarm) error {
	machines := d.stack.Group.Serving()
	var ids []string
	for _, m := range machines {
		ids = append(ids, m.ID)
	}
	if len(ids) == 0 {
		return fmt.Errorf("the group has no instance in service")
	}
	if err := d.suspend(ctx, "HealthCheck", "ReplaceUnhealthy"); err != nil {
		return err
	}
	parts := of(d.alarms, template.KindParts)
	if cut := of(list, template.KindUnreachable); len(cut) > 0 {
		d.Tell("closing the way to %d instances", len(ids))
		found, err := d.Compute.Machines(ctx, ids)
		if err != nil {
			return err
		}
		var groups []string
		for _, m := range found {
			groups = append(groups, m.SecurityGroups...)
		}
		slices.Sort(groups)
		for _, g := range slices.Compact(groups) {
			reopen, err := d.Compute.Close(ctx, g)
			if err != nil {
				return err
			}
			defer func() { _ = reopen(context.WithoutCancel(ctx)) }() // the stack goes anyway
		}
		d.begin(append(cut, parts...))
	}
	if hang := of(list, template.KindHang); len(hang) > 0 {
		d.Tell("letting %s hang", ids[0])
		if err := d.Compute.Hang(ctx, ids[0]); err != nil {
			return err
		}
		d.begin(hang)
	}
	if err := d.fire(ctx, list); err != nil {
		return err
	}
	if len(parts) > 0 && len(of(list, template.KindUnreachable)) > 0 {
		if err := d.fire(ctx, parts); err != nil {
			return err
		}
	}
	d.begin(append(slices.Clone(list), parts...))
	return nil
}

// gone terminates the instances and lets none come; then those that come burn
// their processors; then others come that do not.
func (d *drill) gone(ctx context.Context, list []*alarm) error {
	short, busy := of(list, template.KindGone), of(list, template.KindBusy)
	was := d.stack.Group.Template
	if len(busy) > 0 {
		burning, err := d.Compute.WithUserData(ctx, was.ID, was.Version, burn(userData(was.Data)))
		if err != nil {
			return err
		}
		if err := d.version(ctx, was.ID, burning); err != nil {
			return err
		}
	}
	if err := d.suspend(ctx, "Launch"); err != nil {
		return err
	}
	d.Tell("terminating every instance")
	if err := d.terminate(ctx); err != nil {
		return err
	}
	d.begin(short)
	if err := d.fire(ctx, short); err != nil {
		return err
	}
	d.begin(append(slices.Clone(short), busy...))
	if err := d.resume(ctx, "Launch", "HealthCheck", "ReplaceUnhealthy"); err != nil {
		return err
	}
	if len(busy) == 0 {
		return nil
	}
	d.Tell("burning the processors of those that come")
	if err := d.fire(ctx, busy); err != nil {
		return err
	}
	if err := d.version(ctx, was.ID, was.Version); err != nil {
		return err
	}
	d.begin(busy)
	return d.terminate(ctx)
}

func (d *drill) suspend(ctx context.Context, processes ...string) error {
	_, err := d.asg.SuspendProcesses(ctx, &autoscaling.SuspendProcessesInput{AutoScalingGroupName: &d.stack.Group.Name, ScalingProcesses: processes})
	if err != nil {
		return fmt.Errorf("suspend %s of group %s: %w", strings.Join(processes, ", "), d.stack.Group.Name, err)
	}
	return nil
}

func (d *drill) resume(ctx context.Context, processes ...string) error {
	_, err := d.asg.ResumeProcesses(ctx, &autoscaling.ResumeProcessesInput{AutoScalingGroupName: &d.stack.Group.Name, ScalingProcesses: processes})
	if err != nil {
		return fmt.Errorf("resume %s of group %s: %w", strings.Join(processes, ", "), d.stack.Group.Name, err)
	}
	return nil
}

func (d *drill) version(ctx context.Context, launchTemplate, version string) error {
	_, err := d.asg.UpdateAutoScalingGroup(ctx, &autoscaling.UpdateAutoScalingGroupInput{
		AutoScalingGroupName: &d.stack.Group.Name, LaunchTemplate: launch(launchTemplate, version),
	})
	if err != nil {
		return fmt.Errorf("let group %s use version %s: %w", d.stack.Group.Name, version, err)
	}
	return nil
}

// terminate ends every instance of the group, which is to replace them.
func (d *drill) terminate(ctx context.Context) error {
	out, err := d.asg.DescribeAutoScalingGroups(ctx, &autoscaling.DescribeAutoScalingGroupsInput{AutoScalingGroupNames: []string{d.stack.Group.Name}})
	if err != nil {
		return fmt.Errorf("describe group %s: %w", d.stack.Group.Name, err)
	}
	for _, g := range out.AutoScalingGroups {
		for _, i := range g.Instances {
			if strings.HasPrefix(string(i.LifecycleState), "Terminat") {
				continue
			}
			_, err := d.asg.TerminateInstanceInAutoScalingGroup(ctx, &autoscaling.TerminateInstanceInAutoScalingGroupInput{
				InstanceId: i.InstanceId, ShouldDecrementDesiredCapacity: aws.Bool(false),
			})
			if err != nil {
				return fmt.Errorf("terminate %s: %w", aws.ToString(i.InstanceId), err)
			}
		}
	}
	return nil
}

// userData is what a launch template gives its machines.
func userData(launchTemplate json.RawMessage) string {
	var t struct{ UserData string }
	_ = json.Unmarshal(launchTemplate, &t)
	b, err := base64.StdEncoding.DecodeString(t.UserData)
	if err != nil {
		return ""
	}
	return string(b)
}

// loops keep every processor busy for as long as the machine lives.
const loops = "for p in $(seq \"$(nproc)\"); do setsid sh -c 'while :; do :; done' >/dev/null 2>&1 </dev/null & done\n"

// burn is user data that does what it did, and burns the processors.
func burn(was string) string {
	script := "#!/bin/sh\n" + loops
	if was == "" {
		return script
	}
	if first, rest, ok := strings.Cut(was, "\n"); ok && strings.HasPrefix(first, "#!") && strings.HasSuffix(first, "sh") {
		return first + "\n" + loops + rest
	}
	kind := "text/cloud-config"
	if !strings.HasPrefix(was, "#cloud-config") {
		kind = "text/plain" // cloud-init finds out by its first line
	}
	const edge = "==chain=="
	part := func(kind, text string) string {
		return "--" + edge + "\nContent-Type: " + kind + "; charset=\"utf-8\"\nMIME-Version: 1.0\n\n" + text + "\n"
	}
	return "Content-Type: multipart/mixed; boundary=\"" + edge + "\"\nMIME-Version: 1.0\n\n" + part(kind, was) + part("text/x-shellscript", script) + "--" + edge + "--\n"
}
