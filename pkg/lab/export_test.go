package lab

import "github.com/build-deploy-chain/chain/pkg/lab/core"

// Tables are the action tables of all services, by credential scope.
func Tables() map[string][]core.Action {
	out := map[string][]core.Action{}
	list, _ := services(nil)
	for _, s := range list {
		out[s.Name()] = s.Actions()
	}
	return out
}
