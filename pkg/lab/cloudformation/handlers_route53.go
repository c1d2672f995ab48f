package cloudformation

import (
	"errors"
	"slices"
	"strings"

	"github.com/build-deploy-chain/chain/pkg/lab/core"
	"github.com/build-deploy-chain/chain/pkg/lab/route53"
	"github.com/build-deploy-chain/chain/pkg/lab/wire"
)

func init() {
	handlers["AWS::Route53::RecordSet"] = recordHandler()
	handlers["AWS::Route53::HealthCheck"] = healthCheckHandler()
}

func healthCheckHandler() *handler {
	retag := func(tx *core.Tx, c *call) error {
		h := tx.World.Checks[c.id]
		if h == nil {
			return wire.Errorf("NoSuchHealthCheck", "A health check with id %s does not exist.", c.id)
		}
		h.Tags = c.merged()
		for _, t := range c.props.maps("HealthCheckTags") {
			h.Tags[t.text("Key")] = t.text("Value")
		}
		tx.Changed()
		return nil
	}
	return &handler{
		create: func(tx *core.Tx, c *call) (string, error) {
			in := &route53.CreateHealthCheckInput{CallerReference: core.UUID()}
			if err := assign(&in.HealthCheckConfig, c.props.sub("HealthCheckConfig")); err != nil {
				return "", err
			}
			out, err := route53.CreateHealthCheck(tx, in)
			if err != nil {
				return "", err
			}
			c.id = out.HealthCheck.Id
			return c.id, retag(tx, c)
		},
		update: func(tx *core.Tx, c *call) error {
			in := &route53.UpdateHealthCheckInput{}
			// What cannot be changed has made another one.
			if err := assign(in, c.props.sub("HealthCheckConfig"), "Type", "RequestInterval", "MeasureLatency"); err != nil {
				return err
			}
			in.HealthCheckId = c.id
			if _, err := route53.UpdateHealthCheck(tx, in); err != nil {
				return err
			}
			return retag(tx, c)
		},
		remove: func(tx *core.Tx, c *call) error {
			_, err := route53.DeleteHealthCheck(tx, &route53.DeleteHealthCheckInput{HealthCheckId: c.id})
			var e *wire.Error
			if errors.As(err, &e) && e.Code == "NoSuchHealthCheck" {
				return nil
			}
			return err
		},
		attributes: func(_ *core.Tx, c *call) map[string]any { return map[string]any{"HealthCheckId": c.id} },
	}
}

// zoneOf is the hosted zone a record set names, by id or by name.
func zoneOf(tx *core.Tx, p properties) (string, error) {
	if id := p.text("HostedZoneId"); id != "" {
		return strings.TrimPrefix(id, "/hostedzone/"), nil
	}
	name := p.text("HostedZoneName")
	if name == "" {
		return "", errors.New("either HostedZoneId or HostedZoneName is required")
	}
	if !strings.HasSuffix(name, ".") {
		return "", reason("Invalid HostedZoneName: " + name + " must end with a dot")
	}
	var found []string
	for id, z := range tx.World.Zones {
		if z.Name == name {
			found = append(found, id)
		}
	}
	switch len(found) {
	case 0:
		return "", wire.Errorf("NoSuchHostedZone", "No hosted zone found with name: %s", name)
	case 1:
		return found[0], nil
	}
	return "", errors.New("more than one hosted zone is named " + name + ": give HostedZoneId")
}

func recordSet(p properties) (route53.ResourceRecordSet, error) {
	var out route53.ResourceRecordSet
	if err := assign(&out, p, "HostedZoneId", "HostedZoneName", "Comment", "ResourceRecords"); err != nil {
		return out, err
	}
	for _, v := range p.texts("ResourceRecords") {
		out.ResourceRecords = append(out.ResourceRecords, route53.ResourceRecord{Value: v})
	}
	return out, nil
}

func recordHandler() *handler {
	change := func(tx *core.Tx, c *call, action string) error {
		zone, err := zoneOf(tx, c.props)
		if err != nil {
			return err
		}
		set, err := recordSet(c.props)
		if err != nil {
			return err
		}
		in := &route53.ChangeResourceRecordSetsInput{HostedZoneId: zone}
		in.ChangeBatch.Comment = c.props.text("Comment")
		in.ChangeBatch.Changes = []route53.Change{{Action: action, ResourceRecordSet: set}}
		// What tells one record from another may have changed too: then the old one goes with the same batch.
		if c.old != nil && action == "UPSERT" && c.changed("Type", "SetIdentifier") {
			if old, err := recordSet(c.old); err == nil {
				in.ChangeBatch.Changes = slices.Insert(in.ChangeBatch.Changes, 0, route53.Change{Action: "DELETE", ResourceRecordSet: old})
			}
		}
		out, err := route53.ChangeResourceRecordSets(tx, in)
		if err != nil {
			return err
		}
		c.data()["change"] = out.ChangeInfo.Id
		return nil
	}
	inSync := func(tx *core.Tx, c *call) (bool, error) {
		id := c.data()["change"]
		if id == "" {
			return true, nil
		}
		out, err := route53.GetChange(tx, &route53.GetChangeInput{Id: id})
		if err != nil {
			return false, err
		}
		return out.ChangeInfo.Status == "INSYNC", nil
	}
	return &handler{
		create: func(tx *core.Tx, c *call) (string, error) {
			return c.props.text("Name"), change(tx, c, "CREATE")
		},
		update: func(tx *core.Tx, c *call) error { return change(tx, c, "UPSERT") },
		stable: inSync,
		remove: func(tx *core.Tx, c *call) error {
			err := change(tx, c, "DELETE")
			var e *wire.Error
			if errors.As(err, &e) && e.Code == "InvalidChangeBatch" && strings.Contains(e.Message, "was not found") {
				return nil
			}
			return err
		},
		gone:       inSync,
		attributes: func(_ *core.Tx, c *call) map[string]any { return map[string]any{"Id": c.id} },
		live:       liveRecord,
	}
}

func liveRecord(tx *core.Tx, c *call) (map[string]any, bool) {
	id, err := zoneOf(tx, c.props)
	if err != nil || tx.World.Zones[id] == nil {
		return nil, false
	}
	name := strings.ToLower(strings.TrimSuffix(c.props.text("Name"), "."))
	for _, r := range tx.World.Zones[id].Records {
		if strings.TrimSuffix(r.Name, ".") != name || r.Type != c.props.text("Type") || r.SetIdentifier != c.props.text("SetIdentifier") {
			continue
		}
		out := map[string]any{"TTL": float64(r.TTL)}
		if len(r.Values) > 0 {
			// Order means nothing to DNS.
			want := c.props.texts("ResourceRecords")
			values := slices.Clone(r.Values)
			slices.SortStableFunc(values, func(a, b string) int { return slices.Index(want, a) - slices.Index(want, b) })
			out["ResourceRecords"] = list(values)
		}
		return out, true
	}
	return nil, false
}
