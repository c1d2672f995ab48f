// Package trail is what Git knows about deployments: which image a template
// names, what was rehearsed, what was meant to be released and how it ended,
// and who is at it right now.
//
// The trail of a target is one branch of one remote. Each of its commits has
// the tree of the user's HEAD, except for the paths that the target owns: the
// ImageId defaults of the templates and everything below
// cloudformation/evidence. Its parents are the trail's tip and HEAD, so the
// branch tells what ran and where it came from, and nothing is ever merged as
// text.
//
//	Clone    the user's clone; it is read, never written, not even its index
//	Trail    the branch: Read, Write, Evidence, Intent, Outcome, History
//	Lock     one run at a time, as a ref of the remote
//	Release  the record of one number, from intent to outcome
//
// New objects are kept in a directory of their own, which borrows from the
// clone's, and go from there to the remote. So the clone keeps the very same
// refs, tags, configuration and status, and `git gc` of the user finds nothing
// of ours.
package trail
