// Package autoscaling is the lab's EC2 Auto Scaling: groups that keep the
// desired number of instances, lifecycle hooks and scaling activities.
package autoscaling
