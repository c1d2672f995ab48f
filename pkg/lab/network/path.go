package network

import (
	"net"
	"net/netip"
	"strconv"
	"strings"

	"github.com/build-deploy-chain/chain/pkg/lab/core"
	"github.com/build-deploy-chain/chain/pkg/lab/ec2"
	"github.com/build-deploy-chain/chain/pkg/lab/elb"
	"github.com/build-deploy-chain/chain/pkg/lab/rds"
	"github.com/build-deploy-chain/chain/pkg/lab/route53"
	"github.com/build-deploy-chain/chain/pkg/lab/state"
)

// anyRegion is looked through; what is found says in which region it is.
const anyRegion = "us-east-1"

// path is the way of one connection: to a machine, perhaps by a listener.
type path struct {
	region   string
	listener string // "" for an instance's own public address
	tls      bool   // the listener ends TLS
	backTLS  bool   // and speaks TLS to its targets
	backend  elb.Backend
}

// find decides the way of one connection. It picks one address of a name, one
// target of a zone, and tries nothing else. pick returns a number in [0,n).
func find(tx *core.Tx, client, host string, port int, pick func(n int) int) (path, error) {
	address := net.JoinHostPort(host, strconv.Itoa(port))
	refuse := func(r Reason, text string) (path, error) {
		return path{}, &Error{Address: address, Reason: r, Text: text}
	}
	ips := Resolve(tx, host, pick)
	if len(ips) == 0 {
		return refuse(Unknown, "no zone of the lab has the name "+host)
	}
	ip := ips[pick(len(ips))]

	if region, lb, zone := elb.BalancerAt(tx.World, ip); lb != nil {
		tx := tx.In(region)
		l := elb.ListenerAt(tx, lb, port)
		switch {
		case lb.Scheme != "internet-facing":
			return refuse(Unreachable, "load balancer "+lb.Name+" is internal")
		case lb.State != "active":
			return refuse(Unreachable, "load balancer "+lb.Name+" is "+lb.State)
		case !ec2.Internet(tx, zone.SubnetID):
			return refuse(Unreachable, "subnet "+zone.SubnetID+" of load balancer "+lb.Name+" has no route to an internet gateway")
		case !elb.Accepts(tx, lb, client, port):
			return refuse(NotAllowed, "no security group of load balancer "+lb.Name+" lets "+client+" in")
		case l == nil:
			return refuse(Refused, "load balancer "+lb.Name+" has no listener on this port")
		}
		targets := elb.Candidates(tx, lb, l, zone.AZ)
		if len(targets) == 0 {
			return refuse(Unreachable, "load balancer "+lb.Name+" has no target in zone "+zone.AZ)
		}
		p := path{region: region, listener: l.ARN, tls: l.Protocol == "TLS", backend: targets[pick(len(targets))]}
		if tg := tx.Region.TargetGroups[p.backend.TargetGroup]; tg != nil {
			p.backTLS = p.tls && tg.Protocol == "TLS"
		}
		if !elb.Reaches(tx, lb, zone, p.backend, client) {
			return refuse(NotAllowed, "security groups drop what load balancer "+lb.Name+" sends to "+p.backend.Instance)
		}
		return p, nil
	}

	if region, d := rds.At(tx.World, ip, client); d != nil {
		return database(tx.In(region), d, ip, client, port, refuse)
	}
	region, i := ec2.InstanceByPublicIP(tx.World, ip)
	if i == nil {
		if _, a := ec2.AddressByIP(tx.World, ip); a != nil {
			return refuse(Unreachable, "Elastic IP "+ip+" belongs to no load balancer or instance")
		}
		return refuse(Unknown, "the lab has no such address")
	}
	tx = tx.In(region)
	switch {
	case i.State != "running":
		return refuse(Unreachable, i.ID+" is "+i.State)
	case !ec2.Internet(tx, i.SubnetID):
		return refuse(Unreachable, "subnet "+i.SubnetID+" of "+i.ID+" has no route to an internet gateway")
	case !ec2.Allowed(tx, i.SecurityGroups, client, nil, port):
		return refuse(NotAllowed, "no security group of "+i.ID+" lets "+client+" in")
	}
	return path{region: region, backend: elb.Backend{Instance: i.ID, Port: port}}, nil
}

// database is the way to a database: from the internet if it has a public
// address, and from the instances of its VPC.
func database(tx *core.Tx, d *state.DBInstance, ip, client string, port int, refuse func(Reason, string) (path, error)) (path, error) {
	var groups []string
	for _, i := range tx.Region.Instances {
		if i.VPCID == d.VPCID && i.PrivateIP == client && i.State == "running" {
			groups = i.SecurityGroups
		}
	}
	switch {
	case ip != d.PublicIP && !rds.Inside(tx.Region, d, client):
		return refuse(Unreachable, "database "+d.ID+" is not publicly accessible: its VPC reaches it, and nobody else")
	case ip == d.PublicIP && !ec2.Internet(tx, d.SubnetID):
		return refuse(Unreachable, "subnet "+d.SubnetID+" of database "+d.ID+" has no route to an internet gateway")
	case !ec2.Allowed(tx, d.SecurityGroups, client, groups, port):
		return refuse(NotAllowed, "no security group of database "+d.ID+" lets "+client+" in")
	}
	return path{region: tx.Region.Name, backend: elb.Backend{Instance: d.ResourceID, Port: port}}, nil
}

// Resolve is what a name stands for on the lab's internet: none if no zone of
// the lab has it. An address stands for itself.
func Resolve(tx *core.Tx, host string, pick func(n int) int) []string {
	if ip, err := netip.ParseAddr(host); err == nil {
		if !ip.Unmap().Is4() {
			return nil
		}
		return []string{ip.Unmap().String()}
	}
	name := strings.ToLower(strings.TrimSuffix(host, "."))
	for range 8 { // a chain of names longer than that is a loop
		if ips, known := balancerName(tx.World, tx, name); known {
			return ips
		}
		if ip := ec2.IPFromDNSName(name); ip != "" {
			return []string{ip}
		}
		if ip := rds.AddressOf(tx, name); ip != "" {
			return []string{ip}
		}
		a := route53.Lookup(tx.World, name, func(n int64) int64 { return int64(pick(int(n))) })
		if a.Next == "" {
			return a.Addresses
		}
		name = strings.TrimSuffix(a.Next, ".")
	}
	return nil
}

func balancerName(w *state.World, tx *core.Tx, name string) (ips []string, known bool) {
	for region, r := range w.Regions {
		for _, lb := range r.LoadBalancers {
			if lb.DNSName == strings.TrimPrefix(name, "dualstack.") {
				return elb.Names(tx.In(region), lb), true
			}
		}
	}
	return nil, false
}
