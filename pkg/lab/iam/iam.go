// Package iam is the lab's IAM: roles and instance profiles as values. Nothing
// is ever denied: the lab does not evaluate policies.
package iam

import (
	"encoding/json"
	"maps"
	"net/url"
	"slices"
	"sort"
	"strings"
	"time"

	"github.com/build-deploy-chain/chain/pkg/lab/core"
	"github.com/build-deploy-chain/chain/pkg/lab/state"
	"github.com/build-deploy-chain/chain/pkg/lab/wire"
)

// pageSize is how many entries AWS gives without MaxItems.
const pageSize = 100

// Service is IAM as a service of the lab.
type Service struct{}

// Name is the credential scope.
func (Service) Name() string { return "iam" }

// Step has nothing to do.
func (Service) Step(*core.Tx) {}

// Actions are the actions the API answers.
func (Service) Actions() []core.Action {
	return []core.Action{
		core.Act("AddRoleToInstanceProfile", AddRoleToInstanceProfile),
		core.Act("AttachRolePolicy", AttachRolePolicy),
		core.Act("CreateInstanceProfile", CreateInstanceProfile),
		core.Act("CreateRole", CreateRole),
		core.Act("DeleteInstanceProfile", DeleteInstanceProfile),
		core.Act("DeleteRole", DeleteRole).Lacks("MaxItems", "Marker"),
		core.Act("DeleteRolePolicy", DeleteRolePolicy).Lacks("PolicyDocument"),
		core.Act("DetachRolePolicy", DetachRolePolicy),
		core.Act("GetInstanceProfile", GetInstanceProfile),
		core.Act("GetRole", GetRole).Lacks("MaxItems", "Marker"),
		core.Act("GetRolePolicy", GetRolePolicy).Lacks("PolicyDocument"),
		core.Act("ListAttachedRolePolicies", ListAttachedRolePolicies),
		core.Act("ListInstanceProfilesForRole", ListInstanceProfilesForRole),
		core.Act("ListRolePolicies", ListRolePolicies),
		core.Act("ListRoles", ListRoles),
		core.Act("PutRolePolicy", PutRolePolicy),
		core.Act("RemoveRoleFromInstanceProfile", RemoveRoleFromInstanceProfile),
		core.Act("UpdateAssumeRolePolicy", UpdateAssumeRolePolicy),
	}
}

// Tag is a key and its value.
type Tag struct {
	Key   string
	Value string `wire:",empty"`
}

// Role as the API shows it; policies are URL-encoded, as in AWS.
type Role struct {
	Path, RoleName, RoleId, Arn, AssumeRolePolicyDocument, Description string
	CreateDate                                                         time.Time
	MaxSessionDuration                                                 int64
	Tags                                                               []Tag
}

// InstanceProfile as the API shows it.
type InstanceProfile struct {
	Path, InstanceProfileName, InstanceProfileId, Arn string
	CreateDate                                        time.Time
	Roles                                             []Role
	Tags                                              []Tag
}

// CreateRoleInput of CreateRole.
type CreateRoleInput struct {
	Path, RoleName, AssumeRolePolicyDocument, Description, PermissionsBoundary string
	MaxSessionDuration                                                         *int64
	Tags                                                                       []Tag
}

// RoleOutput answers with a role.
type RoleOutput struct{ Role Role }

// RoleNameInput names a role.
type RoleNameInput struct {
	RoleName string
	MaxItems *int64
	Marker   string
}

// Done has nothing to tell.
type Done struct{}

// PolicyInput is an inline policy of a role.
type PolicyInput struct{ RoleName, PolicyName, PolicyDocument string }

// PolicyOutput is the same, the document URL-encoded.
type PolicyOutput struct{ RoleName, PolicyName, PolicyDocument string }

// AttachInput ties a managed policy to a role.
type AttachInput struct{ RoleName, PolicyArn string }

// ListRolePoliciesOutput of ListRolePolicies.
type ListRolePoliciesOutput struct {
	PolicyNames []string
	IsTruncated bool
	Marker      string
}

// ListAttachedRolePoliciesInput of ListAttachedRolePolicies.
type ListAttachedRolePoliciesInput struct {
	RoleName, PathPrefix, Marker string
	MaxItems                     *int64
}

// AttachedPolicy is a managed policy of a role.
type AttachedPolicy struct{ PolicyName, PolicyArn string }

// ListAttachedRolePoliciesOutput of ListAttachedRolePolicies.
type ListAttachedRolePoliciesOutput struct {
	AttachedPolicies []AttachedPolicy
	IsTruncated      bool
	Marker           string
}

// ListRolesInput of ListRoles.
type ListRolesInput struct {
	PathPrefix, Marker string
	MaxItems           *int64
}

// ListRolesOutput of ListRoles.
type ListRolesOutput struct {
	Roles       []Role
	IsTruncated bool
	Marker      string
}

// CreateInstanceProfileInput of CreateInstanceProfile.
type CreateInstanceProfileInput struct {
	InstanceProfileName, Path string
	Tags                      []Tag
}

// InstanceProfileInput names a profile.
type InstanceProfileInput struct{ InstanceProfileName string }

// InstanceProfileOutput answers with a profile.
type InstanceProfileOutput struct{ InstanceProfile InstanceProfile }

// ProfileRoleInput names a profile and a role.
type ProfileRoleInput struct{ InstanceProfileName, RoleName string }

// ListInstanceProfilesForRoleOutput of ListInstanceProfilesForRole.
type ListInstanceProfilesForRoleOutput struct {
	InstanceProfiles []InstanceProfile
	IsTruncated      bool
	Marker           string
}

// UpdateAssumeRolePolicyInput of UpdateAssumeRolePolicy.
type UpdateAssumeRolePolicyInput struct{ RoleName, PolicyDocument string }

func fail(status int, code, format string, args ...any) error {
	e := wire.Errorf(code, format, args...)
	e.Status = status
	return e
}

func findRole(tx *core.Tx, name string) (*state.Role, error) {
	if r := tx.World.Roles[name]; r != nil {
		return r, nil
	}
	return nil, fail(404, "NoSuchEntity", "The role with name %s cannot be found.", name)
}

func findProfile(tx *core.Tx, name string) (*state.Profile, error) {
	if p := tx.World.Profiles[name]; p != nil {
		return p, nil
	}
	return nil, fail(404, "NoSuchEntity", "Instance Profile %s cannot be found.", name)
}

func checkDocument(doc string) error {
	var v map[string]any
	if err := json.Unmarshal([]byte(doc), &v); err != nil || v["Statement"] == nil {
		return wire.Errorf("MalformedPolicyDocument", "This policy contains invalid Json")
	}
	return nil
}

func arn(tx *core.Tx, kind, path, name string) string {
	return "arn:aws:iam::" + tx.World.Account + ":" + kind + path + name
}

func pathOf(p string) string {
	if p == "" {
		return "/"
	}
	return p
}

func tagList(t state.Tags) []Tag {
	list := make([]Tag, 0, len(t))
	for k, v := range t {
		list = append(list, Tag{Key: k, Value: v})
	}
	sort.Slice(list, func(i, j int) bool { return list[i].Key < list[j].Key })
	return list
}

func tagMap(list []Tag) state.Tags {
	t := state.Tags{}
	for _, x := range list {
		t[x.Key] = x.Value
	}
	return t
}

func showRole(r *state.Role) Role {
	return Role{
		Path: r.Path, RoleName: r.Name, RoleId: r.ID, Arn: r.ARN, AssumeRolePolicyDocument: url.QueryEscape(r.AssumeRolePolicy),
		Description: r.Description, CreateDate: r.Created, MaxSessionDuration: 3600, Tags: tagList(r.Tags),
	}
}

func showProfile(tx *core.Tx, p *state.Profile) InstanceProfile {
	out := InstanceProfile{Path: p.Path, InstanceProfileName: p.Name, InstanceProfileId: p.ID, Arn: p.ARN, CreateDate: p.Created, Tags: tagList(p.Tags)}
	for _, name := range p.Roles {
		if r := tx.World.Roles[name]; r != nil {
			out.Roles = append(out.Roles, showRole(r))
		}
	}
	return out
}

// CreateRole makes a role.
func CreateRole(tx *core.Tx, in *CreateRoleInput) (*RoleOutput, error) {
	if in.RoleName == "" || len(in.RoleName) > 64 {
		return nil, wire.Errorf("ValidationError", "1 validation error detected: Value '%s' at 'roleName' failed to satisfy constraint: Member must have length less than or equal to 64", in.RoleName)
	}
	if err := checkDocument(in.AssumeRolePolicyDocument); err != nil {
		return nil, err
	}
	if tx.World.Roles[in.RoleName] != nil {
		return nil, fail(409, "EntityAlreadyExists", "Role with name %s already exists.", in.RoleName)
	}
	r := &state.Role{
		Name: in.RoleName, Path: pathOf(in.Path), ARN: arn(tx, "role", pathOf(in.Path), in.RoleName), ID: "AROA" + strings.ToUpper(core.Hex(17)),
		AssumeRolePolicy: in.AssumeRolePolicyDocument, Description: in.Description, Policies: map[string]string{}, Created: tx.Now, Tags: tagMap(in.Tags),
	}
	tx.World.Roles[r.Name] = r
	return &RoleOutput{Role: showRole(r)}, nil
}

// GetRole answers a role.
func GetRole(tx *core.Tx, in *RoleNameInput) (*RoleOutput, error) {
	r, err := findRole(tx, in.RoleName)
	if err != nil {
		return nil, err
	}
	return &RoleOutput{Role: showRole(r)}, nil
}

// ListRoles lists all roles.
func ListRoles(tx *core.Tx, in *ListRolesInput) (*ListRolesOutput, error) {
	var found []*state.Role
	names := make([]string, 0, len(tx.World.Roles))
	for n := range tx.World.Roles {
		names = append(names, n)
	}
	sort.Strings(names)
	for _, n := range names {
		if r := tx.World.Roles[n]; strings.HasPrefix(r.Path, in.PathPrefix) {
			found = append(found, r)
		}
	}
	page, next, err := core.Page(tx, found, func(r *state.Role) string { return r.Name }, in.MaxItems, pageSize, in.Marker)
	if err != nil {
		return nil, err
	}
	out := &ListRolesOutput{Marker: next, IsTruncated: next != ""}
	for _, r := range page {
		out.Roles = append(out.Roles, showRole(r))
	}
	return out, nil
}

// DeleteRole removes a role that has no policies and is in no profile.
func DeleteRole(tx *core.Tx, in *RoleNameInput) (*Done, error) {
	r, err := findRole(tx, in.RoleName)
	if err != nil {
		return nil, err
	}
	if len(r.Policies)+len(r.Managed) > 0 {
		return nil, fail(409, "DeleteConflict", "Cannot delete entity, must delete policies first.")
	}
	for _, p := range tx.World.Profiles {
		if slices.Contains(p.Roles, r.Name) {
			return nil, fail(409, "DeleteConflict", "Cannot delete entity, must remove roles from instance profile first.")
		}
	}
	delete(tx.World.Roles, r.Name)
	return &Done{}, nil
}

// UpdateAssumeRolePolicy changes who may be the role.
func UpdateAssumeRolePolicy(tx *core.Tx, in *UpdateAssumeRolePolicyInput) (*Done, error) {
	r, err := findRole(tx, in.RoleName)
	if err != nil {
		return nil, err
	}
	if err := checkDocument(in.PolicyDocument); err != nil {
		return nil, err
	}
	r.AssumeRolePolicy = in.PolicyDocument
	return &Done{}, nil
}

// PutRolePolicy adds or changes an inline policy.
func PutRolePolicy(tx *core.Tx, in *PolicyInput) (*Done, error) {
	r, err := findRole(tx, in.RoleName)
	if err != nil {
		return nil, err
	}
	if err := checkDocument(in.PolicyDocument); err != nil {
		return nil, err
	}
	if r.Policies == nil {
		r.Policies = map[string]string{}
	}
	r.Policies[in.PolicyName] = in.PolicyDocument
	return &Done{}, nil
}

// GetRolePolicy answers an inline policy.
func GetRolePolicy(tx *core.Tx, in *PolicyInput) (*PolicyOutput, error) {
	r, err := findRole(tx, in.RoleName)
	if err != nil {
		return nil, err
	}
	doc, ok := r.Policies[in.PolicyName]
	if !ok {
		return nil, fail(404, "NoSuchEntity", "The role policy with name %s cannot be found.", in.PolicyName)
	}
	return &PolicyOutput{RoleName: r.Name, PolicyName: in.PolicyName, PolicyDocument: url.QueryEscape(doc)}, nil
}

// DeleteRolePolicy removes an inline policy.
func DeleteRolePolicy(tx *core.Tx, in *PolicyInput) (*Done, error) {
	r, err := findRole(tx, in.RoleName)
	if err != nil {
		return nil, err
	}
	if _, ok := r.Policies[in.PolicyName]; !ok {
		return nil, fail(404, "NoSuchEntity", "The role policy with name %s cannot be found.", in.PolicyName)
	}
	delete(r.Policies, in.PolicyName)
	return &Done{}, nil
}

// ListRolePolicies lists the names of inline policies.
func ListRolePolicies(tx *core.Tx, in *RoleNameInput) (*ListRolePoliciesOutput, error) {
	r, err := findRole(tx, in.RoleName)
	if err != nil {
		return nil, err
	}
	names := slices.Sorted(maps.Keys(r.Policies))
	page, next, err := core.Page(tx, names, func(n string) string { return n }, in.MaxItems, pageSize, in.Marker)
	if err != nil {
		return nil, err
	}
	return &ListRolePoliciesOutput{PolicyNames: page, Marker: next, IsTruncated: next != ""}, nil
}

// AttachRolePolicy ties a managed policy to a role. Twice is no error.
func AttachRolePolicy(tx *core.Tx, in *AttachInput) (*Done, error) {
	r, err := findRole(tx, in.RoleName)
	if err != nil {
		return nil, err
	}
	if !strings.HasPrefix(in.PolicyArn, "arn:") {
		return nil, wire.Errorf("InvalidInput", "ARN %s is not valid.", in.PolicyArn)
	}
	if slices.Contains(r.Managed, in.PolicyArn) {
		return &Done{}, nil
	}
	r.Managed = append(r.Managed, in.PolicyArn)
	return &Done{}, nil
}

// DetachRolePolicy unties it.
func DetachRolePolicy(tx *core.Tx, in *AttachInput) (*Done, error) {
	r, err := findRole(tx, in.RoleName)
	if err != nil {
		return nil, err
	}
	for k, a := range r.Managed {
		if a == in.PolicyArn {
			r.Managed = append(r.Managed[:k], r.Managed[k+1:]...)
			return &Done{}, nil
		}
	}
	return nil, fail(404, "NoSuchEntity", "Policy %s was not found.", in.PolicyArn)
}

// ListAttachedRolePolicies lists managed policies of a role.
func ListAttachedRolePolicies(tx *core.Tx, in *ListAttachedRolePoliciesInput) (*ListAttachedRolePoliciesOutput, error) {
	r, err := findRole(tx, in.RoleName)
	if err != nil {
		return nil, err
	}
	page, next, err := core.Page(tx, r.Managed, func(a string) string { return a }, in.MaxItems, pageSize, in.Marker)
	if err != nil {
		return nil, err
	}
	out := &ListAttachedRolePoliciesOutput{Marker: next, IsTruncated: next != ""}
	for _, a := range page {
		out.AttachedPolicies = append(out.AttachedPolicies, AttachedPolicy{PolicyName: a[strings.LastIndex(a, "/")+1:], PolicyArn: a})
	}
	return out, nil
}

// CreateInstanceProfile makes a profile without a role.
func CreateInstanceProfile(tx *core.Tx, in *CreateInstanceProfileInput) (*InstanceProfileOutput, error) {
	if in.InstanceProfileName == "" {
		return nil, wire.Errorf("ValidationError", "1 validation error detected: Value at 'instanceProfileName' failed to satisfy constraint: Member must not be null")
	}
	if tx.World.Profiles[in.InstanceProfileName] != nil {
		return nil, fail(409, "EntityAlreadyExists", "Instance Profile %s already exists.", in.InstanceProfileName)
	}
	p := &state.Profile{
		Name: in.InstanceProfileName, Path: pathOf(in.Path), ID: "AIPA" + strings.ToUpper(core.Hex(17)), Created: tx.Now,
		ARN: arn(tx, "instance-profile", pathOf(in.Path), in.InstanceProfileName), Tags: tagMap(in.Tags),
	}
	tx.World.Profiles[p.Name] = p
	return &InstanceProfileOutput{InstanceProfile: showProfile(tx, p)}, nil
}

// GetInstanceProfile answers a profile.
func GetInstanceProfile(tx *core.Tx, in *InstanceProfileInput) (*InstanceProfileOutput, error) {
	p, err := findProfile(tx, in.InstanceProfileName)
	if err != nil {
		return nil, err
	}
	return &InstanceProfileOutput{InstanceProfile: showProfile(tx, p)}, nil
}

// DeleteInstanceProfile removes a profile without a role.
func DeleteInstanceProfile(tx *core.Tx, in *InstanceProfileInput) (*Done, error) {
	p, err := findProfile(tx, in.InstanceProfileName)
	if err != nil {
		return nil, err
	}
	if len(p.Roles) > 0 {
		return nil, fail(409, "DeleteConflict", "Cannot delete entity, must remove roles from instance profile first.")
	}
	delete(tx.World.Profiles, p.Name)
	return &Done{}, nil
}

// AddRoleToInstanceProfile gives a profile its one role.
func AddRoleToInstanceProfile(tx *core.Tx, in *ProfileRoleInput) (*Done, error) {
	p, err := findProfile(tx, in.InstanceProfileName)
	if err != nil {
		return nil, err
	}
	r, err := findRole(tx, in.RoleName)
	if err != nil {
		return nil, err
	}
	if len(p.Roles) > 0 {
		return nil, fail(409, "LimitExceeded", "Cannot exceed quota for InstanceSessionsPerInstanceProfile: 1")
	}
	p.Roles = []string{r.Name}
	return &Done{}, nil
}

// RemoveRoleFromInstanceProfile takes it away.
func RemoveRoleFromInstanceProfile(tx *core.Tx, in *ProfileRoleInput) (*Done, error) {
	p, err := findProfile(tx, in.InstanceProfileName)
	if err != nil {
		return nil, err
	}
	if len(p.Roles) == 0 || p.Roles[0] != in.RoleName {
		return nil, fail(404, "NoSuchEntity", "The role with name %s cannot be found.", in.RoleName)
	}
	p.Roles = nil
	return &Done{}, nil
}

// ListInstanceProfilesForRole lists profiles that have the role.
func ListInstanceProfilesForRole(tx *core.Tx, in *RoleNameInput) (*ListInstanceProfilesForRoleOutput, error) {
	r, err := findRole(tx, in.RoleName)
	if err != nil {
		return nil, err
	}
	var found []InstanceProfile
	for _, n := range slices.Sorted(maps.Keys(tx.World.Profiles)) {
		if p := tx.World.Profiles[n]; slices.Contains(p.Roles, r.Name) {
			found = append(found, showProfile(tx, p))
		}
	}
	page, next, err := core.Page(tx, found, func(p InstanceProfile) string { return p.InstanceProfileName }, in.MaxItems, pageSize, in.Marker)
	if err != nil {
		return nil, err
	}
	return &ListInstanceProfilesForRoleOutput{InstanceProfiles: page, Marker: next, IsTruncated: next != ""}, nil
}
