package ec2

import "github.com/build-deploy-chain/chain/pkg/lab/wire"

func noInstance(id string) error {
	return wire.Errorf("InvalidInstanceID.NotFound", "The instance ID '%s' does not exist", id)
}
