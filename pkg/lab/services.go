package lab

import (
	"fmt"
	"net/url"
	"sort"
	"strings"

	"github.com/build-deploy-chain/chain/pkg/lab/autoscaling"
	"github.com/build-deploy-chain/chain/pkg/lab/cloudformation"
	"github.com/build-deploy-chain/chain/pkg/lab/cloudwatch"
	"github.com/build-deploy-chain/chain/pkg/lab/core"
	"github.com/build-deploy-chain/chain/pkg/lab/ec2"
	"github.com/build-deploy-chain/chain/pkg/lab/elb"
	"github.com/build-deploy-chain/chain/pkg/lab/iam"
	"github.com/build-deploy-chain/chain/pkg/lab/logs"
	"github.com/build-deploy-chain/chain/pkg/lab/network"
	"github.com/build-deploy-chain/chain/pkg/lab/rds"
	"github.com/build-deploy-chain/chain/pkg/lab/route53"
	"github.com/build-deploy-chain/chain/pkg/lab/s3"
	"github.com/build-deploy-chain/chain/pkg/lab/sns"
	"github.com/build-deploy-chain/chain/pkg/lab/ssm"
	"github.com/build-deploy-chain/chain/pkg/lab/sts"
	"github.com/build-deploy-chain/chain/pkg/lab/wire"
)

// answering is a service with an API.
type answering interface {
	core.Service
	Actions() []core.Action
}

// services are all services in the order of their steps: what stands below
// another one steps before it.
func services(n *network.Network, endpoint func() string) ([]answering, []core.Service) {
	list := []answering{
		ec2.Service{},
		rds.Service{},
		elb.Service{},
		autoscaling.Service{},
		cloudwatch.Service{},
		route53.Service{Dial: n.Dial},
		sns.Service{Dial: n.Dial, Endpoint: endpoint},
		logs.Service{},
		iam.Service{},
		s3.Service{}, // what it answers; Lab.objects calls it
		ssm.Service{},
		sts.Service{},
		cloudformation.Service{},
	}
	all := make([]core.Service, 0, len(list)+1)
	for _, s := range list {
		all = append(all, s)
	}
	return list, append(all, n)
}

// protocols tells how each service is spoken to, by credential scope.
var protocols = map[string]struct {
	protocol  wire.Protocol
	namespace string
	model     string // name of the service in CBOR errors
	badToken  string // code of the error about a token that no page gave
}{
	"autoscaling":          {wire.Query, "http://autoscaling.amazonaws.com/doc/2011-01-01/", "autoscaling", "InvalidNextToken"},
	"cloudformation":       {wire.Query, "http://cloudformation.amazonaws.com/doc/2010-05-15/", "cloudformation", "ValidationError"},
	"ec2":                  {wire.EC2, "http://ec2.amazonaws.com/doc/2016-11-15/", "ec2", "InvalidNextToken"},
	"elasticloadbalancing": {wire.Query, "http://elasticloadbalancing.amazonaws.com/doc/2015-12-01/", "elasticloadbalancingv2", "ValidationError"},
	"iam":                  {wire.Query, "https://iam.amazonaws.com/doc/2010-05-08/", "iam", "ValidationError"},
	"logs":                 {wire.JSON, "", "logs", "InvalidParameterException"},
	"monitoring":           {wire.CBOR, "http://monitoring.amazonaws.com/doc/2010-08-01/", "cloudwatch", "InvalidNextToken"},
	"rds":                  {wire.Query, "http://rds.amazonaws.com/doc/2014-10-31/", "rds", "InvalidParameterValue"},
	"route53":              {wire.RESTXML, "https://route53.amazonaws.com/doc/2013-04-01/", "route53", "InvalidPaginationToken"},
	"s3":                   {wire.RESTXML, "http://s3.amazonaws.com/doc/2006-03-01/", "s3", "InvalidArgument"},
	"sns":                  {wire.Query, "http://sns.amazonaws.com/doc/2010-03-31/", "sns", "InvalidParameter"},
	"ssm":                  {wire.JSON, "", "ssm", "InvalidNextToken"},
	"sts":                  {wire.Query, "https://sts.amazonaws.com/doc/2011-06-15/", "sts", "ValidationError"},
}

// service is a service as the API finds it.
type service struct {
	name      string
	protocol  wire.Protocol
	namespace string
	model     string
	badToken  string
	actions   map[string]core.Action
	routes    []route
}

// route is a method and path of a REST service.
type route struct {
	action core.Action
	parts  []string
}

func index(list []answering) (map[string]*service, error) {
	all := map[string]*service{}
	for _, a := range list {
		p, ok := protocols[a.Name()]
		if !ok {
			return nil, fmt.Errorf("service %s has no protocol", a.Name())
		}
		s := &service{name: a.Name(), protocol: p.protocol, namespace: p.namespace, model: p.model, badToken: p.badToken, actions: map[string]core.Action{}}
		for _, x := range a.Actions() {
			if _, twice := s.actions[x.Name]; twice {
				return nil, fmt.Errorf("action %s.%s is there twice", s.name, x.Name)
			}
			s.actions[x.Name] = x
			if x.Path != "" {
				s.routes = append(s.routes, route{action: x, parts: split(x.Path)})
			}
		}
		all[s.name] = s
	}
	return all, nil
}

// badPage is how the service words that it cannot give a page.
func (s *service) badPage(e *core.PageError) *wire.Error {
	code := s.badToken
	if e.Token == "" {
		code = "ValidationError"
		switch s.protocol {
		case wire.EC2:
			code = "InvalidParameterValue"
		case wire.JSON:
			code = "InvalidParameterException"
		}
	}
	return wire.Errorf(code, "%s", e.Error())
}

func split(path string) []string { return strings.Split(strings.Trim(path, "/"), "/") }

// find matches a REST request; path parameters are by Go name of the field.
func (s *service) find(method, escaped string) (core.Action, map[string]string, bool) {
	parts := split(escaped)
	for _, r := range s.routes {
		if r.action.Method != method || len(r.parts) != len(parts) {
			continue
		}
		params, ok := map[string]string{}, true
		for k, want := range r.parts {
			got, err := url.PathUnescape(parts[k])
			if strings.HasPrefix(want, "{") {
				params[strings.Trim(want, "{+}")] = got
			} else {
				ok = ok && err == nil && got == want
			}
		}
		if ok {
			return r.action, params, true
		}
	}
	return core.Action{}, nil, false
}

// Actions lists what the API answers: action names by service.
func (l *Lab) Actions() map[string][]string {
	out := map[string][]string{}
	for name, s := range l.services {
		for a := range s.actions {
			out[name] = append(out[name], a)
		}
		sort.Strings(out[name])
	}
	return out
}
