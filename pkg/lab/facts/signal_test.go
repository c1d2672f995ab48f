package facts_test

import (
	"strings"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

var signalFacts = []fact{
	{id: "F340", claim: "A signal that comes too late is refused with \"Stack <arn> is in UPDATE_COMPLETE state and cannot be signaled\".", source: "[ISSUE:aws-cloudformation-templates#34]", check: func(w *world) {
		s := reach["UPDATE_COMPLETE"](w)
		w.refused(s.signal("Topic", "i-1", "SUCCESS"), "ValidationError", "Stack "+s.id+" is in UPDATE_COMPLETE state and cannot be signaled")
	}},
	{id: "F341", claim: "A signal for a resource that the stack lacks, or that takes none, is refused by name and type.", source: "[EUCA] [LS]", check: func(w *world) {
		s := reach["UPDATE_IN_PROGRESS"](w)
		w.refused(s.signal("Nobody", "i-1", "SUCCESS"), "ValidationError", "Resource Nobody does not exist for stack "+s.name)
		w.refused(s.signal("Topic", "i-1", "SUCCESS"), "ValidationError", "Resource Topic is of type AWS::SNS::Topic and cannot be signaled")
	}},
	{id: "F342", claim: "A resource that waits for nothing any more takes no signal: \"Resource X is in S state and can not be signaled.\".", source: "[EUCA]", check: func(w *world) {
		s := w.create("signals", say(gate("Gate"), strings.Replace(gate("Later"), "DependsOn: Board", "DependsOn: Gate", 1)))
		s.until(3600e9, "the gate waits", func() bool {
			return strings.Contains(strings.Join(s.history(), "\n"), "Gate CREATE_IN_PROGRESS: Resource")
		})
		require.NoError(w, s.signal("Gate", "me", "SUCCESS"))
		s.until(3600e9, "the next one waits", func() bool {
			return strings.Contains(strings.Join(s.history(), "\n"), "Later CREATE_IN_PROGRESS: Resource")
		})
		w.refused(s.signal("Gate", "you", "SUCCESS"), "ValidationError", "Resource Gate is in CREATE_COMPLETE state and can not be signaled.")
	}},
	{id: "F343", claim: "A second SUCCESS of the same id is refused, a FAILURE after it is taken: \"Signals may only be updated with a FAILURE status.\".", source: "[EUCA]", check: func(w *world) {
		w.images()
		s := w.create("group", roll, with("ImageId", w.image))
		s.until(3600e9, "both serve", func() bool { return len(s.serving()) == 2 })
		id := s.serving()[0]
		require.NoError(w, s.signal("Asg", id, "SUCCESS"))
		w.refused(s.signal("Asg", id, "SUCCESS"), "ValidationError", "Signal with ID "+id+" for resource Asg already exists.  Signals may only be updated with a FAILURE status.")
		require.NoError(w, s.signal("Asg", id, "FAILURE"))
		s.await("ROLLBACK_COMPLETE")
	}},
	{id: "F344", claim: "A signal whose id is no instance of the group is ignored.", source: "[EUCA]", check: func(w *world) {
		w.images()
		s := w.create("group", roll, with("ImageId", w.image))
		s.until(3600e9, "both serve", func() bool { return len(s.serving()) == 2 })
		for _, id := range []string{"i-00000000000000001", "i-00000000000000002"} {
			require.NoError(w, s.signal("Asg", id, "SUCCESS"))
		}
		s.await("ROLLBACK_COMPLETE")
		assert.Contains(w, strings.Join(s.history(), "\n"), "Received 0 SUCCESS signal(s) out of 2.")
	}},
	{id: "F345", claim: "A wait condition that gets no signal fails with \"Failed to receive 1 resource signal(s) within the specified duration\".", source: "[LOG] [UG:aws-attribute-creationpolicy]", check: func(w *world) {
		s := w.create("signals", say(gate("Gate")))
		s.await("ROLLBACK_COMPLETE")
		assert.Contains(w, s.history(), "Gate CREATE_FAILED: Failed to receive 1 resource signal(s) within the specified duration")
	}},
	{id: "F346", claim: "A signal is SUCCESS or FAILURE, and its id has 1 to 64 characters.", source: "[SDK:cloudformation SignalResource]", check: func(w *world) {
		s := reach["UPDATE_IN_PROGRESS"](w)
		w.refused(s.signal("Gate", "me", "PERHAPS"), "ValidationError", "1 validation error detected: Value 'PERHAPS' at 'status' failed to satisfy constraint: *")
		w.refused(s.signal("Gate", strings.Repeat("x", 65), "SUCCESS"), "ValidationError", "1 validation error detected: *'uniqueId'*")
	}},
	{id: "F347", claim: "Signals of one update do not count for the next.", source: "[EUCA]", check: func(w *world) {
		s := w.grown()
		s.rolls()
		s.signalling("SUCCESS", "UPDATE_COMPLETE")
		require.NoError(w, s.update(roll, to("ImageId", w.image)))
		s.await("UPDATE_ROLLBACK_COMPLETE")
	}},
}
