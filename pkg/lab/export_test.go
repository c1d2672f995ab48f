package lab

import (
	"fmt"
	"net/http"

	"github.com/build-deploy-chain/chain/pkg/lab/core"
	"github.com/build-deploy-chain/chain/pkg/lab/network"
)

// Tables are the action tables of all services, by credential scope. S3, which
// has no structs for its requests and answers, is shown by its own tests.
func Tables() map[string][]core.Action {
	out := map[string][]core.Action{}
	list, _ := services(network.New(), nil)
	for _, s := range list {
		if s.Name() != "s3" {
			out[s.Name()] = s.Actions()
		}
	}
	return out
}

// Decode reads a request as the API does, and tells the action it is for.
func (l *Lab) Decode(service string, r *http.Request, body []byte) (action string, in any, err error) {
	s := l.services[service]
	c := &call{scope: scope{service: service}, request: r, body: body, protocol: s.speaks(guess(r))}
	if e := c.name(s); e != nil {
		return "", nil, e
	}
	a, ok := s.actions[c.action]
	if !ok {
		return c.action, nil, fmt.Errorf("no action %s", c.action)
	}
	in = a.New()
	_, err = c.decode(a, in)
	return a.Name, in, err
}
