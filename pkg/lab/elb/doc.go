// Package elb is the lab's Elastic Load Balancing (ELBv2): Network Load
// Balancers, listeners, target groups and the health of their targets.
package elb
