// Package ssm is the lab's parameter store, the public parameter that names the
// newest Debian image included.
package ssm

import (
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/build-deploy-chain/chain/pkg/lab/core"
	"github.com/build-deploy-chain/chain/pkg/lab/runtime"
	"github.com/build-deploy-chain/chain/pkg/lab/state"
	"github.com/build-deploy-chain/chain/pkg/lab/wire"
)

// Service is SSM as a service of the lab.
type Service struct{}

// Name is the credential scope.
func (Service) Name() string { return "ssm" }

// Step has nothing to do.
func (Service) Step(*core.Tx) {}

// Actions are the actions the API answers.
func (Service) Actions() []core.Action {
	return []core.Action{
		core.Act("DeleteParameter", DeleteParameter),
		core.Act("GetParameter", GetParameter),
		core.Act("GetParameters", GetParameters),
		core.Act("PutParameter", PutParameter),
	}
}

// baseImage is the public parameter that Debian publishes.
const baseImage = "/aws/service/debian/release/12/latest/amd64"

// Parameter as the API shows it.
type Parameter struct {
	Name, Type, Value, ARN, DataType string
	Version                          int64
	LastModifiedDate                 time.Time
}

// GetParameterInput of GetParameter.
type GetParameterInput struct {
	Name           string
	WithDecryption *bool
}

// GetParameterOutput of GetParameter.
type GetParameterOutput struct{ Parameter Parameter }

// GetParametersInput of GetParameters.
type GetParametersInput struct {
	Names          []string
	WithDecryption *bool
}

// GetParametersOutput of GetParameters.
type GetParametersOutput struct {
	Parameters        []Parameter
	InvalidParameters []string
}

// PutParameterInput of PutParameter.
type PutParameterInput struct {
	Name, Type, Value, Description, DataType, Tier string
	Overwrite                                      *bool
}

// PutParameterOutput of PutParameter.
type PutParameterOutput struct {
	Version int64
	Tier    string
}

// DeleteParameterInput of DeleteParameter.
type DeleteParameterInput struct{ Name string }

// DeleteParameterOutput of DeleteParameter.
type DeleteParameterOutput struct{}

var name = regexp.MustCompile(`^/?[a-zA-Z0-9_.-]+(/[a-zA-Z0-9_.-]+)*$`)

// Find is a parameter by its name, nil if there is none.
func Find(tx *core.Tx, n string) *state.Parameter {
	if n == baseImage {
		for _, img := range tx.Region.Images {
			if img.Ref == runtime.Base && img.Public {
				return &state.Parameter{Name: n, Type: "String", Value: img.ID, Version: 1, Modified: img.Created}
			}
		}
	}
	return tx.Region.Parameters[n]
}

func show(tx *core.Tx, p *state.Parameter) Parameter {
	return Parameter{
		Name: p.Name, Type: p.Type, Value: p.Value, DataType: "text", Version: p.Version, LastModifiedDate: p.Modified,
		ARN: tx.ARN("ssm", "parameter/"+strings.TrimPrefix(p.Name, "/")),
	}
}

// GetParameter answers one parameter.
func GetParameter(tx *core.Tx, in *GetParameterInput) (*GetParameterOutput, error) {
	p := Find(tx, in.Name)
	if p == nil {
		return nil, wire.Errorf("ParameterNotFound", "")
	}
	return &GetParameterOutput{Parameter: show(tx, p)}, nil
}

// GetParameters answers several, and names those it does not have.
func GetParameters(tx *core.Tx, in *GetParametersInput) (*GetParametersOutput, error) {
	if len(in.Names) == 0 || len(in.Names) > 10 {
		return nil, wire.Errorf("ValidationException", "1 validation error detected: Value at 'names' failed to satisfy constraint: Member must have length between 1 and 10")
	}
	out := &GetParametersOutput{Parameters: []Parameter{}, InvalidParameters: []string{}}
	for _, n := range in.Names {
		if p := Find(tx, n); p != nil {
			out.Parameters = append(out.Parameters, show(tx, p))
		} else {
			out.InvalidParameters = append(out.InvalidParameters, n)
		}
	}
	return out, nil
}

// PutParameter makes a parameter, or with Overwrite a new version of it.
func PutParameter(tx *core.Tx, in *PutParameterInput) (*PutParameterOutput, error) {
	if !name.MatchString(in.Name) {
		return nil, wire.Errorf("ValidationException", "Parameter name: can't be prefixed with \"ssm\" (case-insensitive). If formed as a path, it can consist of sub-paths divided by slash symbol; each sub-path can be formed as a mix of letters, numbers and the following 3 symbols .-_")
	}
	if strings.HasPrefix(in.Name, "/aws") || strings.HasPrefix(in.Name, "aws") {
		return nil, wire.Errorf("AccessDeniedException", "No access to reserved parameter name: %s.", in.Name)
	}
	if in.Value == "" || len(in.Value) > 4096 {
		return nil, wire.Errorf("ValidationException", "1 validation error detected: Value at 'value' failed to satisfy constraint: Member must have length between 1 and 4096")
	}
	old := tx.Region.Parameters[in.Name]
	if old != nil && (in.Overwrite == nil || !*in.Overwrite) {
		return nil, wire.Errorf("ParameterAlreadyExists", "The parameter already exists. To overwrite this value, set the overwrite option in the request to true.")
	}
	p := &state.Parameter{Name: in.Name, Type: in.Type, Value: in.Value, Version: 1, Modified: tx.Now}
	if old != nil {
		p.Version, p.Former = old.Version+1, append(slices.Clone(old.Former), old.Value)
		if p.Type == "" {
			p.Type = old.Type
		}
	}
	switch p.Type {
	case "String", "StringList", "SecureString":
	case "":
		return nil, wire.Errorf("ValidationException", "A parameter type is required when you create a parameter.")
	default:
		return nil, wire.Errorf("ValidationException", "1 validation error detected: Value '%s' at 'type' failed to satisfy constraint: Member must satisfy enum value set: [String, StringList, SecureString]", p.Type)
	}
	tx.Region.Parameters[p.Name] = p
	return &PutParameterOutput{Version: p.Version, Tier: "Standard"}, nil
}

// DeleteParameter removes a parameter.
func DeleteParameter(tx *core.Tx, in *DeleteParameterInput) (*DeleteParameterOutput, error) {
	if tx.Region.Parameters[in.Name] == nil {
		return nil, wire.Errorf("ParameterNotFound", "")
	}
	delete(tx.Region.Parameters, in.Name)
	return &DeleteParameterOutput{}, nil
}
