// Package sts is the lab's STS: it tells who calls.
package sts

import "github.com/build-deploy-chain/chain/pkg/lab/core"

// Service is STS as a service of the lab.
type Service struct{}

// Name is the credential scope.
func (Service) Name() string { return "sts" }

// Step has nothing to do.
func (Service) Step(*core.Tx) {}

// Actions are the actions the API answers.
func (Service) Actions() []core.Action {
	return []core.Action{core.Act("GetCallerIdentity", GetCallerIdentity)}
}

// GetCallerIdentityInput of GetCallerIdentity.
type GetCallerIdentityInput struct{}

// GetCallerIdentityOutput of GetCallerIdentity.
type GetCallerIdentityOutput struct{ Account, Arn, UserId string }

// GetCallerIdentity answers the lab's account: every key is its user "lab".
func GetCallerIdentity(tx *core.Tx, _ *GetCallerIdentityInput) (*GetCallerIdentityOutput, error) {
	return &GetCallerIdentityOutput{
		Account: tx.World.Account, Arn: "arn:aws:iam::" + tx.World.Account + ":user/lab", UserId: "AIDA0000000000LAB0000",
	}, nil
}
