// Package rds is the lab's RDS: PostgreSQL databases that pkg/lab/runtime makes
// machines of, their snapshots with all their data, subnet groups and parameter
// groups. Other engines, clusters, replicas and automated backups are not there.
package rds

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/build-deploy-chain/chain/pkg/lab/core"
	"github.com/build-deploy-chain/chain/pkg/lab/state"
	"github.com/build-deploy-chain/chain/pkg/lab/wire"
)

// Service is the RDS API.
type Service struct{}

// Name is the credential scope.
func (Service) Name() string { return "rds" }

// Actions are the API's rows.
func (Service) Actions() []core.Action {
	return []core.Action{
		core.Act("AddTagsToResource", AddTagsToResource),
		core.Act("CopyDBSnapshot", CopyDBSnapshot),
		core.Act("CreateDBInstance", CreateDBInstance),
		core.Act("CreateDBParameterGroup", CreateDBParameterGroup),
		core.Act("CreateDBSnapshot", CreateDBSnapshot),
		core.Act("CreateDBSubnetGroup", CreateDBSubnetGroup),
		core.Act("DeleteDBInstance", DeleteDBInstance),
		core.Act("DeleteDBParameterGroup", DeleteDBParameterGroup),
		core.Act("DeleteDBSnapshot", DeleteDBSnapshot),
		core.Act("DeleteDBSubnetGroup", DeleteDBSubnetGroup),
		core.Act("DescribeDBInstances", DescribeDBInstances),
		core.Act("DescribeDBParameterGroups", DescribeDBParameterGroups),
		core.Act("DescribeDBParameters", DescribeDBParameters),
		core.Act("DescribeDBSnapshots", DescribeDBSnapshots),
		core.Act("DescribeDBSubnetGroups", DescribeDBSubnetGroups),
		core.Act("ListTagsForResource", ListTagsForResource),
		core.Act("ModifyDBInstance", ModifyDBInstance),
		core.Act("ModifyDBParameterGroup", ModifyDBParameterGroup),
		core.Act("ModifyDBSubnetGroup", ModifyDBSubnetGroup).Lacks("Tags"),
		core.Act("RebootDBInstance", RebootDBInstance),
		core.Act("RemoveTagsFromResource", RemoveTagsFromResource),
		core.Act("ResetDBParameterGroup", ResetDBParameterGroup),
		core.Act("RestoreDBInstanceFromDBSnapshot", RestoreDBInstanceFromDBSnapshot),
	}
}

func invalid(format string, args ...any) *wire.Error {
	return wire.Errorf("InvalidParameterValue", format, args...)
}

func missing(code, format string, args ...any) *wire.Error {
	e := wire.Errorf(code, format, args...)
	e.Status = 404
	return e
}

var identifier = regexp.MustCompile(`^[a-z][a-z0-9]*(-[a-z0-9]+)*$`)

// named checks an identifier and gives it back in small letters, as RDS keeps it.
func named(parameter, name string) (string, error) {
	low := strings.ToLower(name)
	if len(low) > 255 || !identifier.MatchString(low) || parameter == "DBInstanceIdentifier" && len(low) > 63 {
		return "", invalid("The parameter %s is not a valid identifier. Identifiers must begin with a letter; must contain only ASCII letters, digits, and hyphens; and must not end with a hyphen or contain two consecutive hyphens.", parameter)
	}
	return low, nil
}

func values[V any](m map[string]V) []V {
	out := make([]V, 0, len(m))
	for _, k := range slices.Sorted(maps.Keys(m)) {
		out = append(out, m[k])
	}
	return out
}

func tagsOf(list []Tag) state.Tags {
	out := state.Tags{}
	for _, t := range list {
		out[t.Key] = t.Value
	}
	return out
}

func tagList(tags state.Tags) []Tag {
	var out []Tag
	for _, k := range slices.Sorted(maps.Keys(tags)) {
		out = append(out, Tag{Key: k, Value: tags[k]})
	}
	return out
}

// page cuts a page after its filters; fields are the filters a listing knows.
func page[V any](tx *core.Tx, l Listing, list []V, key func(V) string, fields map[string]func(V) string) ([]V, string, error) {
	if l.MaxRecords != nil && (*l.MaxRecords < 20 || *l.MaxRecords > 100) {
		return nil, "", invalid("Invalid value %d for MaxRecords. Must be between 20 and 100", *l.MaxRecords)
	}
	for _, f := range l.Filters {
		field := fields[f.Name]
		if field == nil {
			return nil, "", invalid("Unrecognized filter name: %s", f.Name)
		}
		list = slices.DeleteFunc(list, func(v V) bool { return !slices.Contains(f.Values, field(v)) })
	}
	return core.Page(tx, list, key, l.MaxRecords, 100, l.Marker)
}

// tagged is whatever has an ARN of RDS, with its tags.
func tagged(tx *core.Tx, arn string) (state.Tags, error) {
	parts := strings.SplitN(arn, ":", 7)
	if len(parts) < 7 || parts[2] != "rds" {
		return nil, invalid("Invalid resource name: %s", arn)
	}
	kind, name := parts[5], parts[6]
	switch kind {
	case "db":
		d, err := instance(tx, name)
		if err != nil {
			return nil, err
		}
		return d.Tags, nil
	case "snapshot":
		s, err := snapshot(tx, name)
		if err != nil {
			return nil, err
		}
		return s.Tags, nil
	case "subgrp":
		g, err := subnetGroup(tx, name)
		if err != nil {
			return nil, err
		}
		return g.Tags, nil
	case "pg":
		g, err := parameterGroup(tx, name)
		if err != nil {
			return nil, err
		}
		return g.Tags, nil
	}
	return nil, invalid("Invalid resource name: %s", arn)
}

// AddTagsToResource adds or changes tags.
func AddTagsToResource(tx *core.Tx, in *TagsInput) (*Done, error) {
	tags, err := tagged(tx, in.ResourceName)
	if err != nil {
		return nil, err
	}
	maps.Copy(tags, tagsOf(in.Tags))
	tx.Changed()
	return &Done{}, nil
}

// RemoveTagsFromResource takes tags off; one that is not there is no error.
func RemoveTagsFromResource(tx *core.Tx, in *RemoveTagsFromResourceInput) (*Done, error) {
	tags, err := tagged(tx, in.ResourceName)
	if err != nil {
		return nil, err
	}
	for _, k := range in.TagKeys {
		delete(tags, k)
	}
	tx.Changed()
	return &Done{}, nil
}

// ListTagsForResource lists tags.
func ListTagsForResource(tx *core.Tx, in *ListTagsForResourceInput) (*ListTagsForResourceOutput, error) {
	tags, err := tagged(tx, in.ResourceName)
	if err != nil {
		return nil, err
	}
	if len(in.Filters) > 0 {
		return nil, invalid("Unrecognized filter name: %s", in.Filters[0].Name)
	}
	return &ListTagsForResourceOutput{TagList: tagList(tags)}, nil
}

// host is the name of a database's endpoint: its account and region have one middle part of their own.
func host(tx *core.Tx, id string) string {
	return fmt.Sprintf("%s.c%s.%s.rds.amazonaws.com", id, tx.World.Account[:11], tx.Region.Name)
}
