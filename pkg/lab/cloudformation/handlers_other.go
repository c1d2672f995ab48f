package cloudformation

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/build-deploy-chain/chain/pkg/lab/core"
	"github.com/build-deploy-chain/chain/pkg/lab/iam"
	"github.com/build-deploy-chain/chain/pkg/lab/ssm"
)

func init() {
	handlers["AWS::IAM::Role"] = roleHandler()
	handlers["AWS::IAM::InstanceProfile"] = profileHandler()
	handlers["AWS::SSM::Parameter"] = parameterHandler()
	handlers["AWS::CloudFormation::WaitConditionHandle"] = &handler{
		create: func(tx *core.Tx, c *call) (string, error) {
			return fmt.Sprintf("https://cloudformation-waitcondition-%s.s3.%s.amazonaws.com/%s/%s", tx.Region.Name, tx.Region.Name,
				strings.ReplaceAll(c.stack.ID, "/", "%2F"), c.res.LogicalID), nil
		},
		remove:     func(*core.Tx, *call) error { return nil },
		attributes: func(_ *core.Tx, c *call) map[string]any { return map[string]any{"Id": c.id} },
	}
	handlers[typeWaitCondition] = waitConditionHandler()
}

// waitConditionHandler waits for SignalResource if there is a CreationPolicy.
// Nobody can reach a handle's URL in the lab, so without one it only times out.
func waitConditionHandler() *handler {
	return &handler{
		signals: true,
		create: func(tx *core.Tx, c *call) (string, error) {
			seconds := c.props.whole("Timeout", 43200)
			c.data()["until"] = tx.After(time.Duration(seconds) * time.Second).Format(time.RFC3339Nano)
			return tx.ARN("cloudformation", "stack/"+c.stack.Name+"/"+core.UUID()+"/"+c.res.LogicalID), nil
		},
		stable: func(tx *core.Tx, c *call) (bool, error) {
			if !c.props.has("Handle") || len(c.res.Work.Signals) > 0 {
				return true, nil
			}
			until, err := time.Parse(time.RFC3339Nano, c.data()["until"])
			if err != nil || tx.Due(until) {
				count := c.props.whole("Count", 1)
				return false, reasonf("WaitCondition timed out. Received 0 conditions when expecting %d", count)
			}
			return false, nil
		},
		remove: func(*core.Tx, *call) error { return nil },
		attributes: func(_ *core.Tx, c *call) map[string]any {
			data := map[string]string{}
			for _, s := range c.res.Work.Signals {
				data[s.ID] = s.Status
			}
			return map[string]any{"Id": c.id, "Data": compact(data)}
		},
	}
}

func document(v any) string {
	if s, ok := v.(string); ok {
		return s
	}
	return compact(v)
}

func roleHandler() *handler {
	policies := func(tx *core.Tx, c *call) error {
		named := map[string]bool{}
		for _, p := range c.props.maps("Policies") {
			named[p.text("PolicyName")] = true
			if _, err := iam.PutRolePolicy(tx, &iam.PolicyInput{RoleName: c.id, PolicyName: p.text("PolicyName"), PolicyDocument: document(p["PolicyDocument"])}); err != nil {
				return err
			}
		}
		for _, p := range c.old.maps("Policies") {
			if named[p.text("PolicyName")] {
				continue
			}
			if _, err := iam.DeleteRolePolicy(tx, &iam.PolicyInput{RoleName: c.id, PolicyName: p.text("PolicyName")}); err != nil && !notFound(err) {
				return err
			}
		}
		want := c.props.texts("ManagedPolicyArns")
		for _, arn := range want {
			if _, err := iam.AttachRolePolicy(tx, &iam.AttachInput{RoleName: c.id, PolicyArn: arn}); err != nil {
				return err
			}
		}
		for _, arn := range c.old.texts("ManagedPolicyArns") {
			if slices.Contains(want, arn) {
				continue
			}
			if _, err := iam.DetachRolePolicy(tx, &iam.AttachInput{RoleName: c.id, PolicyArn: arn}); err != nil && !notFound(err) {
				return err
			}
		}
		return nil
	}
	return &handler{
		create: func(tx *core.Tx, c *call) (string, error) {
			in := &iam.CreateRoleInput{}
			if err := assign(in, c.props, "AssumeRolePolicyDocument", "Policies", "ManagedPolicyArns", "Tags"); err != nil {
				return "", err
			}
			in.RoleName, in.AssumeRolePolicyDocument = c.named("RoleName", 64), document(c.props["AssumeRolePolicyDocument"])
			for k, v := range c.merged() {
				in.Tags = append(in.Tags, iam.Tag{Key: k, Value: v})
			}
			if _, err := iam.CreateRole(tx, in); err != nil {
				return "", err
			}
			c.id = in.RoleName
			return c.id, policies(tx, c)
		},
		update: func(tx *core.Tx, c *call) error {
			if c.changed("AssumeRolePolicyDocument") {
				in := &iam.UpdateAssumeRolePolicyInput{RoleName: c.id, PolicyDocument: document(c.props["AssumeRolePolicyDocument"])}
				if _, err := iam.UpdateAssumeRolePolicy(tx, in); err != nil {
					return err
				}
			}
			return policies(tx, c)
		},
		remove: func(tx *core.Tx, c *call) error {
			role := tx.World.Roles[c.id]
			if role == nil {
				return nil
			}
			for name := range role.Policies {
				if _, err := iam.DeleteRolePolicy(tx, &iam.PolicyInput{RoleName: c.id, PolicyName: name}); err != nil {
					return err
				}
			}
			for _, arn := range slices.Clone(role.Managed) {
				if _, err := iam.DetachRolePolicy(tx, &iam.AttachInput{RoleName: c.id, PolicyArn: arn}); err != nil {
					return err
				}
			}
			_, err := iam.DeleteRole(tx, &iam.RoleNameInput{RoleName: c.id})
			return err
		},
		attributes: func(tx *core.Tx, c *call) map[string]any {
			out := map[string]any{}
			if r := tx.World.Roles[c.id]; r != nil {
				out["Arn"], out["RoleId"] = r.ARN, r.ID
			}
			return out
		},
		live: func(tx *core.Tx, c *call) (map[string]any, bool) {
			return map[string]any{}, tx.World.Roles[c.id] != nil
		},
	}
}

func profileHandler() *handler {
	roles := func(tx *core.Tx, c *call) error {
		want := c.props.texts("Roles")
		for _, r := range c.old.texts("Roles") {
			if slices.Contains(want, r) {
				continue
			}
			if _, err := iam.RemoveRoleFromInstanceProfile(tx, &iam.ProfileRoleInput{InstanceProfileName: c.id, RoleName: r}); err != nil && !notFound(err) {
				return err
			}
		}
		for _, r := range want {
			if slices.Contains(c.old.texts("Roles"), r) {
				continue
			}
			if _, err := iam.AddRoleToInstanceProfile(tx, &iam.ProfileRoleInput{InstanceProfileName: c.id, RoleName: r}); err != nil {
				return err
			}
		}
		return nil
	}
	return &handler{
		create: func(tx *core.Tx, c *call) (string, error) {
			c.id = c.named("InstanceProfileName", 128)
			if _, err := iam.CreateInstanceProfile(tx, &iam.CreateInstanceProfileInput{InstanceProfileName: c.id, Path: c.props.text("Path")}); err != nil {
				return "", err
			}
			return c.id, roles(tx, c)
		},
		update: roles,
		remove: func(tx *core.Tx, c *call) error {
			for _, r := range c.props.texts("Roles") {
				if _, err := iam.RemoveRoleFromInstanceProfile(tx, &iam.ProfileRoleInput{InstanceProfileName: c.id, RoleName: r}); err != nil && !notFound(err) {
					return err
				}
			}
			_, err := iam.DeleteInstanceProfile(tx, &iam.InstanceProfileInput{InstanceProfileName: c.id})
			return err
		},
		attributes: func(tx *core.Tx, c *call) map[string]any {
			out := map[string]any{}
			if p, err := iam.GetInstanceProfile(tx, &iam.InstanceProfileInput{InstanceProfileName: c.id}); err == nil {
				out["Arn"] = p.InstanceProfile.Arn
			}
			return out
		},
	}
}

func parameterHandler() *handler {
	put := func(tx *core.Tx, c *call, name string, over bool) error {
		if c.props.text("Type") == "SecureString" {
			return reason("AWS::SSM::Parameter does not support the type SecureString")
		}
		in := &ssm.PutParameterInput{}
		if err := assign(in, c.props, "Tags"); err != nil {
			return err
		}
		in.Name, in.Overwrite = name, &over
		_, err := ssm.PutParameter(tx, in)
		return err
	}
	return &handler{
		create: func(tx *core.Tx, c *call) (string, error) {
			name := c.props.text("Name")
			if name == "" {
				name = "CFN-" + c.name(900)
			}
			if err := put(tx, c, name, false); err != nil {
				return "", err
			}
			return name, nil
		},
		update: func(tx *core.Tx, c *call) error { return put(tx, c, c.id, true) },
		remove: func(tx *core.Tx, c *call) error {
			_, err := ssm.DeleteParameter(tx, &ssm.DeleteParameterInput{Name: c.id})
			return err
		},
		attributes: func(_ *core.Tx, c *call) map[string]any {
			return map[string]any{"Type": c.props.text("Type"), "Value": c.props.text("Value")}
		},
		live: func(tx *core.Tx, c *call) (map[string]any, bool) {
			p := tx.Region.Parameters[c.id]
			if p == nil {
				return nil, false
			}
			return map[string]any{"Value": p.Value, "Type": p.Type}, true
		},
	}
}
