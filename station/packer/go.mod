// Packer and its Amazon plugin from Go modules, for machines that can reach a
// module proxy but not releases.hashicorp.com. Built by station.sh.
module github.com/build-deploy-chain/chain/station/packer

go 1.26.0

require (
	github.com/hashicorp/packer v1.11.2
	github.com/hashicorp/packer-plugin-amazon v1.3.2
)

// Both ask for this fork themselves; a replace counts in the main module only.
replace github.com/zclconf/go-cty => github.com/nywilken/go-cty v1.13.3
