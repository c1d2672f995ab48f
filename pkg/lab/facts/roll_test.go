package facts_test

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/autoscaling"
	asgtypes "github.com/aws/aws-sdk-go-v2/service/autoscaling/types"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// group is the group Asg.
func (s *stack) group() asgtypes.AutoScalingGroup {
	s.Helper()
	out, err := s.asg.DescribeAutoScalingGroups(s.ctx, &autoscaling.DescribeAutoScalingGroupsInput{AutoScalingGroupNames: []string{s.physical("Asg")}})
	require.NoError(s, err)
	require.Len(s, out.AutoScalingGroups, 1)
	return out.AutoScalingGroups[0]
}

// grown is a stack with a group of the old image, complete.
func (w *world) grown(kv ...string) *stack {
	w.Helper()
	return w.grownOf(roll, kv...)
}

func (w *world) grownOf(body string, kv ...string) *stack {
	w.Helper()
	w.images()
	s := w.create("group", body, with(append([]string{"ImageId", w.image}, kv...)...))
	s.signalling("SUCCESS", "CREATE_COMPLETE")
	s.events()
	return s
}

// rolls begins the update to the new image.
func (s *stack) rolls(kv ...string) {
	s.Helper()
	require.NoError(s, s.update(roll, to(append([]string{"ImageId", s.other}, kv...)...)))
}

// versions of the launch template that the group's instances run, each once.
func (s *stack) versions() []string {
	s.Helper()
	var out []string
	for _, i := range s.group().Instances {
		if v := *i.LaunchTemplate.Version; !slices.Contains(out, v) {
			out = append(out, v)
		}
	}
	slices.Sort(out)
	return out
}

// brief turns the events of a roll into few words: "init 6 by 3 keep 6 | temp 9 | new 3 | term 3 repl 0 100%".
func brief(lines []string) string {
	var out []string
	terminating := ""
	for _, e := range lines {
		switch {
		case strings.Contains(e, "Rolling update initiated"):
			m := regexp.MustCompile(`Terminating (\d+) obsolete instance\(s\) in batches of (\d+)(?:, while keeping at least (\d+) instance\(s\) in service)?\.`).FindStringSubmatch(e)
			out = append(out, fmt.Sprintf("init %s by %s keep %s", m[1], m[2], m[3]))
		case strings.Contains(e, "Temporarily setting"):
			out = append(out, "temp "+regexp.MustCompile(`to (\d+)\.`).FindStringSubmatch(e)[1])
		case strings.Contains(e, "New instance(s) added"):
			out = append(out, "new "+regexp.MustCompile(`on (\d+) resource`).FindStringSubmatch(e)[1])
		case strings.Contains(e, "Terminating instance(s)"):
			m := regexp.MustCompile(`\[(.*)\]; replacing with (\d+) new`).FindStringSubmatch(e)
			terminating = fmt.Sprintf("term %d repl %s", strings.Count(m[1], ",")+1, m[2])
		case strings.Contains(e, "Successfully terminated"):
			out = append(out, terminating+" "+regexp.MustCompile(`\(Progress (\d+%)\)`).FindStringSubmatch(e)[1])
		}
	}
	return strings.Join(out, " | ")
}

// arithmetic checks the numbers of one roll: D desired, M kept in service, X MaxSize, B MaxBatchSize.
func arithmetic(d, m, x, b int, want string) func(w *world) {
	return func(w *world) {
		sizes := []string{"Desired", fmt.Sprint(d), "InService", fmt.Sprint(m), "Max", fmt.Sprint(x), "Batch", fmt.Sprint(b)}
		s := w.grown(sizes...)
		s.rolls(sizes...)
		s.signalling("SUCCESS", "UPDATE_COMPLETE")
		assert.Equal(w, want, brief(s.events()))
		g := s.group()
		assert.EqualValues(w, d, *g.DesiredCapacity)
		assert.EqualValues(w, 1, *g.MinSize)
		assert.EqualValues(w, x, *g.MaxSize)
		assert.Len(w, s.serving(), d)
		assert.Equal(w, []string{"2"}, s.versions())
	}
}

const surge = "Asg UPDATE_IN_PROGRESS: Rolling update initiated. Terminating 2 obsolete instance(s) in batches of 2, while keeping at least 2 instance(s) in service. Waiting on resource signals with a timeout of PT5M when new instances are added to the autoscaling group."

var rollFacts = []fact{
	{id: "F100", claim: "The creation of a group with a CreationPolicy tells \"Received SUCCESS signal with UniqueId i-…\" of each instance before CREATE_COMPLETE.", source: "[W18]", check: func(w *world) {
		w.images()
		s := w.create("group", roll, with("ImageId", w.image))
		s.signalling("SUCCESS", "CREATE_COMPLETE")
		assert.Equal(w, []string{
			"CREATE_IN_PROGRESS", "CREATE_IN_PROGRESS: Resource creation Initiated",
			"CREATE_IN_PROGRESS: Received SUCCESS signal with UniqueId i1", "CREATE_IN_PROGRESS: Received SUCCESS signal with UniqueId i2",
			"CREATE_COMPLETE",
		}, of("Asg", s.events()))
	}},
	{id: "F101", claim: "A group that gets no signals fails its creation with \"Failed to receive 2 resource signal(s) for the current batch.  Each resource signal timeout is counted as a FAILURE.\", told as UPDATE_IN_PROGRESS, and \"Received 0 SUCCESS signal(s) out of 2.  Unable to satisfy 100% MinSuccessfulInstancesPercent requirement\".", source: "[LOG]", check: func(w *world) {
		w.images()
		s := w.create("group", roll, with("ImageId", w.image))
		s.await("ROLLBACK_COMPLETE")
		assert.Equal(w, []string{
			"UPDATE_IN_PROGRESS: Failed to receive 2 resource signal(s) for the current batch.  Each resource signal timeout is counted as a FAILURE.",
			"CREATE_FAILED: Received 0 SUCCESS signal(s) out of 2.  Unable to satisfy 100% MinSuccessfulInstancesPercent requirement",
		}, of("Asg", s.events())[2:4])
	}},
	{id: "F102", claim: "A FAILURE signal fails a creation at once with \"Received 1 FAILURE signal(s) out of 2.  Unable to satisfy 100% MinSuccessfulInstancesPercent requirement\".", source: "[LOG:AWSinAction/code2#21]", check: func(w *world) {
		w.images()
		s := w.create("group", roll, with("ImageId", w.image))
		s.until(3600e9, "an instance serves", func() bool { return len(s.serving()) == 2 })
		require.NoError(w, s.signal("Asg", s.serving()[0], "FAILURE"))
		s.await("ROLLBACK_COMPLETE")
		assert.Equal(w, []string{
			"CREATE_IN_PROGRESS: Received FAILURE signal with UniqueId i1",
			"CREATE_FAILED: Received 1 FAILURE signal(s) out of 2.  Unable to satisfy 100% MinSuccessfulInstancesPercent requirement",
		}, of("Asg", s.events())[2:4])
	}},
	{id: "F103", claim: "A rolling update with a surge tells: initiated, temporarily setting, new instances added, the signals, terminating, replacing with 0, successfully terminated, UPDATE_COMPLETE.", source: "[G] [LOG:crewjam]", check: func(w *world) {
		s := w.grown()
		s.rolls()
		s.signalling("SUCCESS", "UPDATE_COMPLETE")
		assert.Equal(w, []string{
			"Stack UPDATE_IN_PROGRESS: User Initiated", "Lt UPDATE_IN_PROGRESS", "Lt UPDATE_COMPLETE", "Asg UPDATE_IN_PROGRESS", surge,
			"Asg UPDATE_IN_PROGRESS: Temporarily setting autoscaling group MinSize and DesiredCapacity to 4.",
			"Asg UPDATE_IN_PROGRESS: New instance(s) added to autoscaling group - Waiting on 2 resource signal(s) with a timeout of PT5M.",
			"Asg UPDATE_IN_PROGRESS: Received SUCCESS signal with UniqueId i3", "Asg UPDATE_IN_PROGRESS: Received SUCCESS signal with UniqueId i4",
			"Asg UPDATE_IN_PROGRESS: Terminating instance(s) [i1,i2]; replacing with 0 new instance(s).",
			"Asg UPDATE_IN_PROGRESS: Successfully terminated instance(s) [i1,i2] (Progress 100%).",
			"Asg UPDATE_COMPLETE", "Stack UPDATE_COMPLETE_CLEANUP_IN_PROGRESS", "Stack UPDATE_COMPLETE",
		}, s.events())
	}},
	{id: "F104", claim: "A rolling update without a surge terminates first, and tells of new instances after each batch.", source: "[W18]", check: func(w *world) {
		s := w.grown("InService", "1", "Batch", "1", "Max", "5")
		s.rolls("InService", "1", "Batch", "1", "Max", "5")
		s.signalling("SUCCESS", "UPDATE_COMPLETE")
		assert.Equal(w, []string{
			"UPDATE_IN_PROGRESS",
			"UPDATE_IN_PROGRESS: Rolling update initiated. Terminating 2 obsolete instance(s) in batches of 1, while keeping at least 1 instance(s) in service. Waiting on resource signals with a timeout of PT5M when new instances are added to the autoscaling group.",
			"UPDATE_IN_PROGRESS: Terminating instance(s) [i1]; replacing with 1 new instance(s).",
			"UPDATE_IN_PROGRESS: Successfully terminated instance(s) [i1] (Progress 50%).",
			"UPDATE_IN_PROGRESS: New instance(s) added to autoscaling group - Waiting on 1 resource signal(s) with a timeout of PT5M.",
			"UPDATE_IN_PROGRESS: Received SUCCESS signal with UniqueId i3",
			"UPDATE_IN_PROGRESS: Terminating instance(s) [i2]; replacing with 1 new instance(s).",
			"UPDATE_IN_PROGRESS: Successfully terminated instance(s) [i2] (Progress 100%).",
			"UPDATE_IN_PROGRESS: New instance(s) added to autoscaling group - Waiting on 1 resource signal(s) with a timeout of PT5M.",
			"UPDATE_IN_PROGRESS: Received SUCCESS signal with UniqueId i4",
			"UPDATE_COMPLETE",
		}, of("Asg", s.events()))
	}},
	{id: "F105", claim: "With MinInstancesInService 0 the first text has no \"while keeping\".", source: "[LOG:awslabs/amazon-eks-ami#66]", check: func(w *world) {
		s := w.grown("InService", "0", "Max", "2")
		s.rolls("InService", "0", "Max", "2")
		s.signalling("SUCCESS", "UPDATE_COMPLETE")
		assert.Contains(w, s.events(), "Asg UPDATE_IN_PROGRESS: Rolling update initiated. Terminating 2 obsolete instance(s) in batches of 2. Waiting on resource signals with a timeout of PT5M when new instances are added to the autoscaling group.")
	}},
	{id: "F106", claim: "D 5, M 5, X 10, B 5 rolls in one batch of 5 at size 10, replacing with 0.", source: "[G observations]", check: arithmetic(5, 5, 10, 5, "init 5 by 5 keep 5 | temp 10 | new 5 | term 5 repl 0 100%")},
	{id: "F107", claim: "D 6, M 3, X 9, B 6 rolls in one batch of 6 at size 9, and dips to 3 instances.", source: "[G observations]", check: arithmetic(6, 3, 9, 6, "init 6 by 6 keep 3 | temp 9 | new 3 | term 6 repl 3 100% | new 3")},
	{id: "F108", claim: "D 9, M 3, X 9, B 9 rolls in batches of 6 and 3 with no temporary size.", source: "[G observations]", check: arithmetic(9, 3, 9, 9, "init 9 by 6 keep 3 | term 6 repl 6 67% | new 6 | term 3 repl 3 100% | new 3")},
	{id: "F109", claim: "D 9, M 8, X 9, B 9 rolls one by one with no temporary size, and ends at 9.", source: "[G observations]", check: arithmetic(9, 8, 9, 9, "init 9 by 1 keep 8"+
		" | term 1 repl 1 11% | new 1 | term 1 repl 1 22% | new 1 | term 1 repl 1 33% | new 1 | term 1 repl 1 44% | new 1 | term 1 repl 1 56% | new 1"+
		" | term 1 repl 1 67% | new 1 | term 1 repl 1 78% | new 1 | term 1 repl 1 89% | new 1 | term 1 repl 1 100% | new 1")},
	{id: "F110", claim: "D 6, M 6, X 9, B 6 rolls in batches of 3 at size 9, replacing with 3, then with 0.", source: "[G observations]", check: arithmetic(6, 6, 9, 6, "init 6 by 3 keep 6 | temp 9 | new 3 | term 3 repl 3 50% | new 3 | term 3 repl 0 100%")},
	{id: "F111", claim: "D 2, M 1, X 5, B 1 rolls one by one without a temporary size.", source: "[W18]", check: arithmetic(2, 1, 5, 1, "init 2 by 1 keep 1 | term 1 repl 1 50% | new 1 | term 1 repl 1 100% | new 1")},
	{id: "F112", claim: "D 2, M 2, X 4, B 2 rolls in one surge batch: no old instance goes before every new one was signalled.", source: "[G README]", check: func(w *world) {
		arithmetic(2, 2, 4, 2, "init 2 by 2 keep 2 | temp 4 | new 2 | term 2 repl 0 100%")(w)
		for _, c := range []struct {
			d, m, x, b int
			want       string
		}{
			{3, 3, 9, 1, "init 3 by 1 keep 3 | temp 4 | new 1 | term 1 repl 1 33% | new 1 | term 1 repl 1 67% | new 1 | term 1 repl 0 100%"},
			{3, 3, 9, 3, "init 3 by 3 keep 3 | temp 6 | new 3 | term 3 repl 0 100%"},
			{2, 0, 2, 2, "init 2 by 2 keep  | term 2 repl 2 100% | new 2"},
		} {
			arithmetic(c.d, c.m, c.x, c.b, c.want)(newWorld(w.T))
		}
	}},
	{id: "F113", claim: "A rolling update that gets no signals fails with \"Received 0 SUCCESS signal(s) out of N.\" of all obsolete instances, and its rollback is a rolling update of its own.", source: "[LOG:hackoregon/civic-devops#282] [G]", check: func(w *world) {
		s := w.grown()
		s.rolls()
		s.await("UPDATE_ROLLBACK_COMPLETE")
		assert.Equal(w, []string{
			"Stack UPDATE_IN_PROGRESS: User Initiated", "Lt UPDATE_IN_PROGRESS", "Lt UPDATE_COMPLETE", "Asg UPDATE_IN_PROGRESS", surge,
			"Asg UPDATE_IN_PROGRESS: Temporarily setting autoscaling group MinSize and DesiredCapacity to 4.",
			"Asg UPDATE_IN_PROGRESS: New instance(s) added to autoscaling group - Waiting on 2 resource signal(s) with a timeout of PT5M.",
			"Asg UPDATE_IN_PROGRESS: Failed to receive 2 resource signal(s) for the current batch.  Each resource signal timeout is counted as a FAILURE.",
			"Asg UPDATE_FAILED: Received 0 SUCCESS signal(s) out of 2.  Unable to satisfy 100% MinSuccessfulInstancesPercent requirement",
			"Stack UPDATE_ROLLBACK_IN_PROGRESS: The following resource(s) failed to update: [Asg]. ",
			"Lt UPDATE_IN_PROGRESS", "Lt UPDATE_COMPLETE", "Asg UPDATE_IN_PROGRESS", surge,
			"Asg UPDATE_IN_PROGRESS: Terminating instance(s) [i3,i4]; replacing with 0 new instance(s).",
			"Asg UPDATE_IN_PROGRESS: Successfully terminated instance(s) [i3,i4] (Progress 100%).",
			"Asg UPDATE_COMPLETE", "Stack UPDATE_ROLLBACK_COMPLETE_CLEANUP_IN_PROGRESS", "Stack UPDATE_ROLLBACK_COMPLETE",
		}, withTemporary(s))
		assert.Equal(w, []string{"1"}, s.versions())
	}},
	{id: "F114", claim: "A failed 6/6/9 roll says \"Failed to receive 3\", \"Received 0 SUCCESS signal(s) out of 6\", and its rollback takes the M of the old template: 3 by 3 keep 3, replacing with 3.", source: "[G observations]", check: func(w *world) {
		// The old template names no DesiredCapacity, so the group stays at its temporary size.
		body := strings.Replace(roll, "      DesiredCapacity: !Ref Desired\n", "", 1)
		s := w.grownOf(body, "Desired", "6", "Least", "6", "Max", "9", "InService", "3", "Batch", "6")
		require.NoError(w, s.update(body, to("ImageId", w.other, "Desired", "6", "Least", "6", "Max", "9", "InService", "6", "Batch", "6")))
		s.await("UPDATE_ROLLBACK_IN_PROGRESS")
		s.signalling("SUCCESS", "UPDATE_ROLLBACK_COMPLETE")
		lines := s.events()
		assert.Contains(w, lines, "Asg UPDATE_IN_PROGRESS: Failed to receive 3 resource signal(s) for the current batch.  Each resource signal timeout is counted as a FAILURE.")
		assert.Contains(w, lines, "Asg UPDATE_FAILED: Received 0 SUCCESS signal(s) out of 6.  Unable to satisfy 100% MinSuccessfulInstancesPercent requirement")
		assert.Equal(w, "init 6 by 3 keep 6 | temp 9 | new 3 | init 3 by 3 keep 3 | term 3 repl 3 100% | new 3", brief(lines))
		assert.EqualValues(w, 9, *s.group().DesiredCapacity, "the template names none, so the group stays enlarged")
	}},
	{id: "F115", claim: "A rollback after the point where old instances went launches them anew and waits for their signals.", source: "[G] [UG:troubleshooting]", check: func(w *world) {
		s := w.grown("InService", "1", "Batch", "1", "Max", "3")
		s.rolls("InService", "1", "Batch", "1", "Max", "3")
		s.until(3600e9, "the first batch waits for its signal", func() bool { return strings.Contains(strings.Join(s.history(), "\n"), "New instance(s) added") })
		require.NoError(w, s.signal("Asg", s.newest(), "FAILURE"))
		s.await("UPDATE_ROLLBACK_IN_PROGRESS")
		s.signalling("SUCCESS", "UPDATE_ROLLBACK_COMPLETE")
		lines := s.events()
		back := slices.IndexFunc(lines, func(l string) bool { return strings.HasPrefix(l, "Stack UPDATE_ROLLBACK_IN_PROGRESS") })
		assert.Equal(w, "init 1 by 1 keep 1 | term 1 repl 1 100% | new 1", brief(lines[back:]))
		assert.Equal(w, []string{"1"}, s.versions())
	}},
	{id: "F116", claim: "A rollback that gets no signals for the instances it launches ends in UPDATE_ROLLBACK_FAILED, and ContinueUpdateRollback with signals ends it well.", source: "[UG:troubleshooting] [G]", check: func(w *world) {
		s := w.grown("InService", "1", "Batch", "1", "Max", "3")
		s.rolls("InService", "1", "Batch", "1", "Max", "3")
		s.until(3600e9, "the first batch waits for its signal", func() bool { return strings.Contains(strings.Join(s.history(), "\n"), "New instance(s) added") })
		require.NoError(w, s.signal("Asg", s.newest(), "FAILURE"))
		s.await("UPDATE_ROLLBACK_FAILED")
		lines := of("Stack", s.events())
		assert.Equal(w, "UPDATE_ROLLBACK_FAILED: The following resource(s) failed to update: [Asg]. ", lines[len(lines)-1])
		require.NoError(w, s.proceed())
		s.signalling("SUCCESS", "UPDATE_ROLLBACK_COMPLETE")
		assert.Equal(w, []string{"1"}, s.versions())
	}},
	{id: "F117", claim: "The processes that a rolling update suspends are resumed at its end, and those suspended before stay so.", source: "[UG:aws-attribute-updatepolicy]", check: func(w *world) {
		s := w.grown()
		_, err := w.asg.SuspendProcesses(w.ctx, &autoscaling.SuspendProcessesInput{AutoScalingGroupName: aws.String(s.physical("Asg")), ScalingProcesses: []string{"AZRebalance"}})
		require.NoError(w, err)
		s.rolls()
		s.until(3600e9, "it waits for signals", func() bool { return strings.Contains(strings.Join(s.history(), "\n"), "New instance(s) added") })
		assert.Len(w, s.group().SuspendedProcesses, 3)
		s.signalling("SUCCESS", "UPDATE_COMPLETE")
		require.Len(w, s.group().SuspendedProcesses, 1)
		assert.Equal(w, "AZRebalance", *s.group().SuspendedProcesses[0].ProcessName)
	}},
	{id: "F118", claim: "A group whose Launch process is suspended is not rolled: \"Autoscaling rolling updates cannot be performed because the [Launch] process(es) have been suspended; please resume these processes and then retry the update.\".", source: "[EUCA]", check: func(w *world) {
		s := w.grown()
		_, err := w.asg.SuspendProcesses(w.ctx, &autoscaling.SuspendProcessesInput{AutoScalingGroupName: aws.String(s.physical("Asg")), ScalingProcesses: []string{"Launch"}})
		require.NoError(w, err)
		s.rolls()
		s.await("UPDATE_ROLLBACK_COMPLETE", "UPDATE_ROLLBACK_FAILED")
		assert.Contains(w, s.events(), "Asg UPDATE_FAILED: Autoscaling rolling updates cannot be performed because the [Launch] process(es) have been suspended; please resume these processes and then retry the update.")
	}},
	{id: "F119", claim: "MinInstancesInService must be less than MaxSize, else the update fails with \"MinInstancesInService must be less than the autoscaling group's MaxSize\".", source: "[UG:aws-attribute-updatepolicy]", check: func(w *world) {
		s := w.grown()
		s.rolls("InService", "4")
		s.await("UPDATE_ROLLBACK_COMPLETE")
		assert.Contains(w, s.events(), "Asg UPDATE_FAILED: MinInstancesInService must be less than the autoscaling group's MaxSize")
	}},
	{id: "F120", claim: "A change of sizes alone rolls nothing.", source: "[UG:aws-attribute-updatepolicy]", check: func(w *world) {
		s := w.grown()
		require.NoError(w, s.update(roll, to("ImageId", w.image, "Max", "6")))
		s.await("UPDATE_COMPLETE")
		assert.Equal(w, []string{"UPDATE_IN_PROGRESS", "UPDATE_COMPLETE"}, of("Asg", s.events()))
		assert.EqualValues(w, 6, *s.group().MaxSize)
	}},
	{id: "F121", claim: "A change of VPCZoneIdentifier rolls the instances that are in none of the new subnets.", source: "[UG:aws-attribute-updatepolicy]", check: func(w *world) {
		s := w.grown()
		body := strings.Replace(roll, "  Lt:\n", "  Subnet2:\n    Type: AWS::EC2::Subnet\n    Properties: {VpcId: !Ref Vpc, CidrBlock: 10.8.2.0/24, AvailabilityZone: !Select [1, !GetAZs \"\"]}\n  Lt:\n", 1)
		body = strings.Replace(body, "[!Ref Subnet]", "[!Ref Subnet2]", 1)
		require.NoError(w, s.update(body, to("ImageId", w.image)))
		s.signalling("SUCCESS", "UPDATE_COMPLETE")
		assert.Contains(w, s.events(), surge)
	}},
	{id: "F122", claim: "The versions $Latest and $Default of a launch template are not taken.", source: "[UG:aws-properties-autoscaling-autoscalinggroup-launchtemplatespecification]", check: func(w *world) {
		w.images()
		s := w.create("group", strings.Replace(roll, "!GetAtt Lt.LatestVersionNumber", "$Latest", 1), with("ImageId", w.image))
		s.await("ROLLBACK_COMPLETE")
		assert.Contains(w, strings.Join(s.events(), "\n"), "Asg CREATE_FAILED: Specifying $Latest or $Default for the template version number is not supported.")
	}},
	{id: "F123", claim: "AutoScalingReplacingUpdate builds a new group, and deletes the old one in the clean-up.", source: "[UG:aws-attribute-updatepolicy]", check: func(w *world) {
		head, rest, _ := strings.Cut(roll, "      AutoScalingRollingUpdate:")
		_, tail, _ := strings.Cut(rest, "    Properties:\n")
		body := head + "      AutoScalingReplacingUpdate: {WillReplace: true}\n    Properties:\n" + tail
		s := w.grownOf(body)
		old := s.physical("Asg")
		require.NoError(w, s.update(body, to("ImageId", w.other)))
		s.signalling("SUCCESS", "UPDATE_COMPLETE")
		assert.NotEqual(w, old, s.physical("Asg"))
		lines := s.events()
		assert.Contains(w, lines, "Asg UPDATE_IN_PROGRESS: Requested update requires the creation of a new physical resource; hence creating one.")
		assert.Contains(w, lines, "Asg DELETE_COMPLETE")
	}},
	{id: "F124", claim: "Without DesiredCapacity in the template an update keeps the group's current one.", source: "[G] [UG:aws-properties-as-group]", check: func(w *world) {
		body := strings.Replace(roll, "      DesiredCapacity: !Ref Desired\n", "", 1)
		s := w.grownOf(body, "Least", "2", "Max", "8")
		_, err := w.asg.SetDesiredCapacity(w.ctx, &autoscaling.SetDesiredCapacityInput{AutoScalingGroupName: aws.String(s.physical("Asg")), DesiredCapacity: aws.Int32(3)})
		require.NoError(w, err)
		s.until(3600e9, "three serve", func() bool { return len(s.serving()) == 3 })
		require.NoError(w, s.update(body, to("ImageId", w.other, "Least", "2", "Max", "8")))
		s.signalling("SUCCESS", "UPDATE_COMPLETE")
		assert.EqualValues(w, 3, *s.group().DesiredCapacity)
	}},
	{id: "F125", claim: "With DesiredCapacity in the template an update undoes a scale-out.", source: "[G healthy-to-unhealthy]", check: func(w *world) {
		s := w.grown("Max", "8")
		_, err := w.asg.SetDesiredCapacity(w.ctx, &autoscaling.SetDesiredCapacityInput{AutoScalingGroupName: aws.String(s.physical("Asg")), DesiredCapacity: aws.Int32(3)})
		require.NoError(w, err)
		s.until(3600e9, "three serve", func() bool { return len(s.serving()) == 3 })
		s.rolls("Max", "8")
		s.signalling("SUCCESS", "UPDATE_COMPLETE")
		assert.EqualValues(w, 2, *s.group().DesiredCapacity)
		assert.Len(w, s.serving(), 2)
	}},
	{id: "F126", claim: "The rollback of an update does not remove the new version of the launch template, and the group goes back to the old version's number.", source: "[ISSUE:cloudformation-coverage-roadmap#1912] [G]", check: func(w *world) {
		s := w.grown()
		s.rolls()
		s.await("UPDATE_ROLLBACK_COMPLETE")
		s.rolls()
		s.signalling("SUCCESS", "UPDATE_COMPLETE")
		assert.Equal(w, "3", s.versions()[0], "version 2 was used up")
	}},
	{id: "F127", claim: "A cancelled roll goes back by a rolling update, whose stack reason is \"User Initiated\".", source: "[UG:using-cfn-stack-update-cancel]", check: func(w *world) {
		s := w.grown()
		s.rolls()
		s.until(3600e9, "it waits for signals", func() bool { return strings.Contains(strings.Join(s.history(), "\n"), "New instance(s) added") })
		_, err := w.cfn.CancelUpdateStack(w.ctx, &cloudformation.CancelUpdateStackInput{StackName: &s.id})
		require.NoError(w, err)
		s.await("UPDATE_ROLLBACK_COMPLETE")
		lines := s.events()
		assert.Contains(w, lines, "Asg UPDATE_FAILED: Resource update cancelled")
		assert.Contains(w, lines, "Stack UPDATE_ROLLBACK_IN_PROGRESS: User Initiated")
		assert.Equal(w, "init 2 by 2 keep 2 | temp 4 | new 2 | init 2 by 2 keep 2 | term 2 repl 0 100%", brief(withoutTemporary(lines)))
	}},
	{id: "F128", claim: "MinSuccessfulInstancesPercent 50 lets a roll go on when half of its instances fail.", source: "[UG:aws-attribute-updatepolicy]", check: func(w *world) {
		s := w.grown("Percent", "50")
		s.rolls("Percent", "50")
		s.until(3600e9, "both new ones serve", func() bool { return len(s.serving()) == 4 })
		s.until(3600e9, "it waits for signals", func() bool { return strings.Contains(strings.Join(s.history(), "\n"), "New instance(s) added") })
		status := "FAILURE"
		for _, i := range s.group().Instances {
			if *i.LaunchTemplate.Version == "2" {
				require.NoError(w, s.signal("Asg", *i.InstanceId, status))
				status = "SUCCESS"
			}
		}
		s.await("UPDATE_COMPLETE")
	}},
	{id: "F129", claim: "Without WaitOnResourceSignals a batch only pauses for PauseTime.", source: "[UG:aws-attribute-updatepolicy]", check: func(w *world) {
		s := w.grown("Wait", "false", "Pause", "PT2M")
		s.rolls("Wait", "false", "Pause", "PT2M")
		s.await("UPDATE_COMPLETE")
		assert.Contains(w, strings.Join(s.events(), "\n"), "Pausing for PT2M")
	}},
}

// newest is the instance of the group's newest version that serves.
func (s *stack) newest() string {
	s.Helper()
	best, id := "", ""
	s.until(3600e9, "a new instance serves", func() bool {
		for _, i := range s.group().Instances {
			if i.LifecycleState == "InService" && *i.LaunchTemplate.Version > best {
				best, id = *i.LaunchTemplate.Version, *i.InstanceId
			}
		}
		return best > "1"
	})
	return id
}

// withTemporary are the new events; whether a rollback tells of the size it
// finds already there was seen both ways, so that line of it is left out.
func withTemporary(s *stack) []string { return withoutTemporary(s.events()) }

func withoutTemporary(lines []string) []string {
	back := slices.IndexFunc(lines, func(l string) bool { return strings.HasPrefix(l, "Stack UPDATE_ROLLBACK_IN_PROGRESS") })
	n := 0
	return slices.DeleteFunc(slices.Clone(lines), func(l string) bool {
		n++
		return back >= 0 && n > back && strings.Contains(l, "Temporarily setting")
	})
}
