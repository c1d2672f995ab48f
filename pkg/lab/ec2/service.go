// Package ec2 is the lab's EC2: networks, security groups, addresses, launch
// templates, images and the instances that pkg/lab/runtime makes machines of.
//
// Every action is an exported function over the world, which other services of
// the lab call as well: RunInstances is the same for Packer and for an Auto
// Scaling group.
package ec2

// Service is EC2 as a service of the lab.
type Service struct{}

// Name is the credential scope.
func (Service) Name() string { return "ec2" }
