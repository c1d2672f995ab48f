package ec2

import (
	"slices"

	"github.com/build-deploy-chain/chain/pkg/lab/core"
	"github.com/build-deploy-chain/chain/pkg/lab/state"
	"github.com/build-deploy-chain/chain/pkg/lab/wire"
)

// DescribeInstanceTypesInput of DescribeInstanceTypes.
type DescribeInstanceTypesInput struct {
	InstanceTypes []string `wire:"InstanceType"`
	Filters       []Filter `wire:"Filter"`
	MaxResults    *int64
	NextToken     string
}

// DescribeInstanceTypesOutput of DescribeInstanceTypes.
type DescribeInstanceTypesOutput struct {
	InstanceTypes []InstanceTypeInfo `wire:"instanceTypeSet"`
	NextToken     string
}

// InstanceTypeInfo is what the lab knows of a type.
type InstanceTypeInfo struct {
	InstanceType                 string
	CurrentGeneration            bool
	ProcessorInfo                ProcessorInfo
	SupportedRootDeviceTypes     []string
	SupportedVirtualizationTypes []string
}

// ProcessorInfo of a type.
type ProcessorInfo struct{ SupportedArchitectures []string }

// architecture of all types that the lab offers.
const architecture = "x86_64"

// DescribeInstanceTypes lists the types that the lab offers.
func DescribeInstanceTypes(tx *core.Tx, in *DescribeInstanceTypesInput) (*DescribeInstanceTypesOutput, error) {
	for _, t := range in.InstanceTypes {
		if !KnownInstanceType(t) {
			return nil, wire.Errorf("InvalidInstanceType", "The following supplied instance types do not exist: [%s]", t)
		}
	}
	var list []InstanceTypeInfo
	for _, t := range instanceTypes {
		if len(in.InstanceTypes) > 0 && !slices.Contains(in.InstanceTypes, t) {
			continue
		}
		list = append(list, InstanceTypeInfo{
			InstanceType: t, CurrentGeneration: t[:2] != "t2", ProcessorInfo: ProcessorInfo{[]string{architecture}},
			SupportedRootDeviceTypes: []string{"ebs"}, SupportedVirtualizationTypes: []string{"hvm"},
		})
	}
	list, err := filter(list, in.Filters, func(InstanceTypeInfo) state.Tags { return nil }, func(i InstanceTypeInfo) attrs {
		return attrs{"instance-type": one(i.InstanceType), "processor-info.supported-architecture": one(architecture), "current-generation": boolText(i.CurrentGeneration)}
	})
	if err != nil {
		return nil, err
	}
	list, next, err := core.Page(tx, list, func(i InstanceTypeInfo) string { return i.InstanceType }, in.MaxResults, 100, in.NextToken)
	if err != nil {
		return nil, err
	}
	return &DescribeInstanceTypesOutput{InstanceTypes: list, NextToken: next}, nil
}
