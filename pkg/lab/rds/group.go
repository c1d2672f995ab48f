package rds

import (
	"maps"
	"slices"
	"strings"

	"github.com/build-deploy-chain/chain/pkg/lab/core"
	"github.com/build-deploy-chain/chain/pkg/lab/state"
	"github.com/build-deploy-chain/chain/pkg/lab/wire"
)

func subnetGroup(tx *core.Tx, name string) (*state.DBSubnetGroup, error) {
	if g := tx.Region.DBSubnetGroups[strings.ToLower(name)]; g != nil {
		return g, nil
	}
	return nil, missing("DBSubnetGroupNotFoundFault", "DB subnet group '%s' does not exist.", name)
}

// covers checks the subnets of a group: they are there, of one VPC and of two zones.
func covers(tx *core.Tx, ids []string) (vpc string, err error) {
	zones := map[string]bool{}
	for _, id := range ids {
		s := tx.Region.Subnets[id]
		if s == nil {
			return "", wire.Errorf("InvalidSubnet", "Some input subnets in :[%s] are invalid.", strings.Join(ids, ", "))
		}
		if vpc != "" && s.VPCID != vpc {
			return "", wire.Errorf("InvalidSubnet", "The subnets are in more than one VPC.")
		}
		vpc = s.VPCID
		zones[s.AZ] = true
	}
	if len(zones) < 2 {
		return "", wire.Errorf("DBSubnetGroupDoesNotCoverEnoughAZs", "The DB subnet group doesn't meet Availability Zone (AZ) coverage requirement. Current AZ coverage: %s. Add subnets to cover at least 2 AZs.",
			strings.Join(slices.Sorted(maps.Keys(zones)), ", "))
	}
	return vpc, nil
}

// CreateDBSubnetGroup makes a subnet group over at least two zones.
func CreateDBSubnetGroup(tx *core.Tx, in *SubnetGroupInput) (*SubnetGroupOutput, error) {
	name := strings.ToLower(in.DBSubnetGroupName)
	switch {
	case name == "" || name == "default" || len(name) > 255:
		return nil, invalid("The parameter DBSubnetGroupName is not a valid identifier: '%s'", in.DBSubnetGroupName)
	case in.DBSubnetGroupDescription == "":
		return nil, invalid("The parameter DBSubnetGroupDescription must be provided and must not be blank.")
	case tx.Region.DBSubnetGroups[name] != nil:
		return nil, wire.Errorf("DBSubnetGroupAlreadyExists", "The DB subnet group '%s' already exists.", name)
	}
	vpc, err := covers(tx, in.SubnetIds)
	if err != nil {
		return nil, err
	}
	g := &state.DBSubnetGroup{
		Name: name, ARN: tx.ARN("rds", "subgrp:"+name), Description: in.DBSubnetGroupDescription, VPCID: vpc, Subnets: in.SubnetIds, Tags: tagsOf(in.Tags),
	}
	tx.Region.DBSubnetGroups[name] = g
	tx.Changed()
	return &SubnetGroupOutput{DBSubnetGroup: showSubnetGroup(tx, g)}, nil
}

// ModifyDBSubnetGroup changes description and subnets.
func ModifyDBSubnetGroup(tx *core.Tx, in *SubnetGroupInput) (*SubnetGroupOutput, error) {
	g, err := subnetGroup(tx, in.DBSubnetGroupName)
	if err != nil {
		return nil, err
	}
	if _, err := covers(tx, in.SubnetIds); err != nil {
		return nil, err
	}
	for _, d := range tx.Region.DBInstances {
		if d.SubnetGroup == g.Name && !slices.Contains(in.SubnetIds, d.SubnetID) {
			return nil, wire.Errorf("SubnetInUse", "The subnet ID: %s is currently in use", d.SubnetID)
		}
	}
	g.Subnets = in.SubnetIds
	if in.DBSubnetGroupDescription != "" {
		g.Description = in.DBSubnetGroupDescription
	}
	tx.Changed()
	return &SubnetGroupOutput{DBSubnetGroup: showSubnetGroup(tx, g)}, nil
}

// DeleteDBSubnetGroup removes a subnet group that no database uses.
func DeleteDBSubnetGroup(tx *core.Tx, in *DeleteDBSubnetGroupInput) (*Done, error) {
	g, err := subnetGroup(tx, in.DBSubnetGroupName)
	if err != nil {
		return nil, err
	}
	for _, d := range values(tx.Region.DBInstances) {
		if d.SubnetGroup == g.Name {
			return nil, wire.Errorf("InvalidDBSubnetGroupStateFault", "Cannot delete the subnet group '%s' because at least one database instance: %s is still using it.", g.Name, d.ID)
		}
	}
	delete(tx.Region.DBSubnetGroups, g.Name)
	tx.Changed()
	return &Done{}, nil
}

// DescribeDBSubnetGroups lists subnet groups.
func DescribeDBSubnetGroups(tx *core.Tx, in *DescribeDBSubnetGroupsInput) (*DescribeDBSubnetGroupsOutput, error) {
	list := values(tx.Region.DBSubnetGroups)
	if in.DBSubnetGroupName != "" {
		g, err := subnetGroup(tx, in.DBSubnetGroupName)
		if err != nil {
			return nil, err
		}
		list = []*state.DBSubnetGroup{g}
	}
	list, next, err := page(tx, in.Listing, list, func(g *state.DBSubnetGroup) string { return g.Name }, nil)
	if err != nil {
		return nil, err
	}
	out := &DescribeDBSubnetGroupsOutput{Marker: next}
	for _, g := range list {
		out.DBSubnetGroups = append(out.DBSubnetGroups, showSubnetGroup(tx, g))
	}
	return out, nil
}

func showSubnetGroup(tx *core.Tx, g *state.DBSubnetGroup) DBSubnetGroup {
	out := DBSubnetGroup{
		DBSubnetGroupName: g.Name, DBSubnetGroupDescription: g.Description, DBSubnetGroupArn: g.ARN, VpcId: g.VPCID, SubnetGroupStatus: "Complete",
	}
	for _, id := range g.Subnets {
		s := Subnet{SubnetIdentifier: id, SubnetStatus: "Active"}
		if sn := tx.Region.Subnets[id]; sn != nil {
			s.SubnetAvailabilityZone.Name = sn.AZ
		}
		out.Subnets = append(out.Subnets, s)
	}
	return out
}

func parameterGroup(tx *core.Tx, name string) (*state.DBParameterGroup, error) {
	if g := tx.Region.DBParameterGroups[strings.ToLower(name)]; g != nil {
		return g, nil
	}
	return nil, missing("DBParameterGroupNotFound", "DBParameterGroup not found: %s", name)
}

// CreateDBParameterGroup makes a parameter group of a PostgreSQL family. Its
// settings are kept and told; the machine does not get them.
func CreateDBParameterGroup(tx *core.Tx, in *CreateDBParameterGroupInput) (*ParameterGroupOutput, error) {
	name, err := named("DBParameterGroupName", in.DBParameterGroupName)
	switch {
	case err != nil:
		return nil, err
	case !strings.HasPrefix(in.DBParameterGroupFamily, engine):
		return nil, invalid("ParameterGroupFamily %s is not a valid parameter group family", in.DBParameterGroupFamily)
	case in.Description == "":
		return nil, invalid("The parameter Description must be provided and must not be blank.")
	case tx.Region.DBParameterGroups[name] != nil:
		return nil, wire.Errorf("DBParameterGroupAlreadyExists", "Parameter group %s already exists", name)
	}
	g := &state.DBParameterGroup{
		Name: name, ARN: tx.ARN("rds", "pg:"+name), Family: in.DBParameterGroupFamily, Description: in.Description, Parameters: map[string]string{}, Tags: tagsOf(in.Tags),
	}
	tx.Region.DBParameterGroups[name] = g
	tx.Changed()
	return &ParameterGroupOutput{DBParameterGroup: showParameterGroup(g)}, nil
}

// ModifyDBParameterGroup sets parameters.
func ModifyDBParameterGroup(tx *core.Tx, in *ModifyDBParameterGroupInput) (*ParameterGroupName, error) {
	g, err := parameterGroup(tx, in.DBParameterGroupName)
	if err != nil {
		return nil, err
	}
	if len(in.Parameters) == 0 || len(in.Parameters) > 20 {
		return nil, invalid("Between 1 and 20 parameters can be modified in a single request, not %d", len(in.Parameters))
	}
	for _, p := range in.Parameters {
		if p.ParameterName == "" {
			return nil, invalid("The parameter ParameterName must be provided and must not be blank.")
		}
	}
	for _, p := range in.Parameters {
		g.Parameters[p.ParameterName] = p.ParameterValue
	}
	tx.Changed()
	return &ParameterGroupName{g.Name}, nil
}

// ResetDBParameterGroup gives parameters, or all, their defaults back.
func ResetDBParameterGroup(tx *core.Tx, in *ResetDBParameterGroupInput) (*ParameterGroupName, error) {
	g, err := parameterGroup(tx, in.DBParameterGroupName)
	if err != nil {
		return nil, err
	}
	all := in.ResetAllParameters == nil && len(in.Parameters) == 0 || in.ResetAllParameters != nil && *in.ResetAllParameters
	if all {
		clear(g.Parameters)
	}
	for _, p := range in.Parameters {
		delete(g.Parameters, p.ParameterName)
	}
	tx.Changed()
	return &ParameterGroupName{g.Name}, nil
}

// DeleteDBParameterGroup removes a parameter group that no database uses.
func DeleteDBParameterGroup(tx *core.Tx, in *DeleteDBParameterGroupInput) (*Done, error) {
	g, err := parameterGroup(tx, in.DBParameterGroupName)
	if err != nil {
		return nil, err
	}
	for _, d := range tx.Region.DBInstances {
		if d.ParameterGroup == g.Name {
			return nil, wire.Errorf("InvalidDBParameterGroupState", "One or more database instances are still members of this parameter group %s, so the group cannot be deleted", g.Name)
		}
	}
	delete(tx.Region.DBParameterGroups, g.Name)
	tx.Changed()
	return &Done{}, nil
}

// DescribeDBParameterGroups lists parameter groups, the defaults apart.
func DescribeDBParameterGroups(tx *core.Tx, in *DescribeDBParameterGroupsInput) (*DescribeDBParameterGroupsOutput, error) {
	list := values(tx.Region.DBParameterGroups)
	if in.DBParameterGroupName != "" {
		g, err := parameterGroup(tx, in.DBParameterGroupName)
		if err != nil {
			return nil, err
		}
		list = []*state.DBParameterGroup{g}
	}
	list, next, err := page(tx, in.Listing, list, func(g *state.DBParameterGroup) string { return g.Name }, nil)
	if err != nil {
		return nil, err
	}
	out := &DescribeDBParameterGroupsOutput{Marker: next}
	for _, g := range list {
		out.DBParameterGroups = append(out.DBParameterGroups, showParameterGroup(g))
	}
	return out, nil
}

func showParameterGroup(g *state.DBParameterGroup) DBParameterGroup {
	return DBParameterGroup{DBParameterGroupName: g.Name, DBParameterGroupFamily: g.Family, Description: g.Description, DBParameterGroupArn: g.ARN}
}

// DescribeDBParameters lists the parameters that were set: the lab does not know an engine's own.
func DescribeDBParameters(tx *core.Tx, in *DescribeDBParametersInput) (*DescribeDBParametersOutput, error) {
	g, err := parameterGroup(tx, in.DBParameterGroupName)
	if err != nil {
		return nil, err
	}
	var list []Parameter
	for _, k := range slices.Sorted(maps.Keys(g.Parameters)) {
		if in.Source == "" || in.Source == "user" {
			list = append(list, Parameter{ParameterName: k, ParameterValue: g.Parameters[k], Source: "user", ApplyMethod: "pending-reboot"})
		}
	}
	list, next, err := page(tx, in.Listing, list, func(p Parameter) string { return p.ParameterName }, nil)
	if err != nil {
		return nil, err
	}
	return &DescribeDBParametersOutput{Parameters: list, Marker: next}, nil
}
