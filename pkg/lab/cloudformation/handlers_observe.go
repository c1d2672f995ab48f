package cloudformation

import (
	"strings"

	"github.com/build-deploy-chain/chain/pkg/lab/cloudwatch"
	"github.com/build-deploy-chain/chain/pkg/lab/core"
	"github.com/build-deploy-chain/chain/pkg/lab/logs"
	"github.com/build-deploy-chain/chain/pkg/lab/sns"
	"github.com/build-deploy-chain/chain/pkg/lab/state"
	"github.com/build-deploy-chain/chain/pkg/lab/wire"
)

func init() {
	handlers["AWS::CloudWatch::Alarm"] = alarmHandler(false)
	handlers["AWS::CloudWatch::CompositeAlarm"] = alarmHandler(true)
	handlers["AWS::CloudWatch::Dashboard"] = dashboardHandler()
	handlers["AWS::SNS::Topic"] = topicHandler()
	handlers["AWS::SNS::TopicPolicy"] = topicPolicyHandler()
	handlers["AWS::SNS::Subscription"] = subscriptionHandler()
	handlers["AWS::Logs::LogGroup"] = logGroupHandler()
}

func alarmHandler(composite bool) *handler {
	put := func(tx *core.Tx, c *call, name string) error {
		var tags []cloudwatch.Tag
		for k, v := range c.merged() {
			tags = append(tags, cloudwatch.Tag{Key: k, Value: v})
		}
		if composite {
			in := &cloudwatch.PutCompositeAlarmInput{}
			if err := assign(in, c.props, "Tags"); err != nil {
				return err
			}
			in.AlarmName, in.Tags = name, tags
			_, err := cloudwatch.PutCompositeAlarm(tx, in)
			return err
		}
		in := &cloudwatch.PutMetricAlarmInput{}
		if err := assign(in, c.props, "Tags"); err != nil {
			return err
		}
		in.AlarmName, in.Tags = name, tags
		_, err := cloudwatch.PutMetricAlarm(tx, in)
		return err
	}
	return &handler{
		create: func(tx *core.Tx, c *call) (string, error) {
			name := c.named("AlarmName", 255)
			if tx.Region.Alarms[name] != nil {
				return "", wire.Errorf("AlreadyExists", "%s already exists", name)
			}
			if err := put(tx, c, name); err != nil {
				return "", err
			}
			return name, nil
		},
		update: func(tx *core.Tx, c *call) error { return put(tx, c, c.id) },
		remove: func(tx *core.Tx, c *call) error {
			_, err := cloudwatch.DeleteAlarms(tx, &cloudwatch.DeleteAlarmsInput{AlarmNames: []string{c.id}})
			return err
		},
		attributes: func(tx *core.Tx, c *call) map[string]any {
			out := map[string]any{}
			if a := tx.Region.Alarms[c.id]; a != nil {
				out["Arn"] = a.ARN
			}
			return out
		},
		live: func(tx *core.Tx, c *call) (map[string]any, bool) {
			a := tx.Region.Alarms[c.id]
			if a == nil {
				return nil, false
			}
			out := map[string]any{}
			for k := range c.props {
				if v, ok := a.Config[k]; ok {
					out[k] = set(v)
				}
			}
			return out, true
		},
	}
}

// set is a value without those members of its mappings that nobody set.
func set(v any) any {
	switch v := v.(type) {
	case []any:
		out := make([]any, len(v))
		for i := range v {
			out[i] = set(v[i])
		}
		return out
	case map[string]any:
		out := map[string]any{}
		for k, m := range v {
			if m = set(m); m != nil && m != "" {
				out[k] = m
			}
		}
		return out
	}
	return v
}

func dashboardHandler() *handler {
	put := func(tx *core.Tx, c *call, name string) error {
		_, err := cloudwatch.PutDashboard(tx, &cloudwatch.PutDashboardInput{DashboardName: name, DashboardBody: c.props.text("DashboardBody")})
		return err
	}
	return &handler{
		create: func(tx *core.Tx, c *call) (string, error) {
			name := c.named("DashboardName", 255)
			if err := put(tx, c, name); err != nil {
				return "", err
			}
			return name, nil
		},
		update: func(tx *core.Tx, c *call) error { return put(tx, c, c.id) },
		remove: func(tx *core.Tx, c *call) error {
			_, err := cloudwatch.DeleteDashboards(tx, &cloudwatch.DeleteDashboardsInput{DashboardNames: []string{c.id}})
			return err
		},
		live: func(tx *core.Tx, c *call) (map[string]any, bool) {
			d := tx.Region.Dashboards[c.id]
			if d == nil {
				return nil, false
			}
			return map[string]any{"DashboardBody": d.Body}, true
		},
	}
}

// topicAttributes are the properties of a topic that are attributes of the API by the same name.
var topicAttributes = []string{"DisplayName", "KmsMasterKeyId", "SignatureVersion", "TracingConfig"}

func topicHandler() *handler {
	tags := func(c *call) []sns.Tag {
		var out []sns.Tag
		for k, v := range c.merged() {
			out = append(out, sns.Tag{Key: k, Value: v})
		}
		return out
	}
	subscribe := func(tx *core.Tx, c *call) error {
		for _, s := range c.props.maps("Subscription") {
			if _, err := sns.Subscribe(tx, &sns.SubscribeInput{TopicArn: c.id, Protocol: s.text("Protocol"), Endpoint: s.text("Endpoint")}); err != nil {
				return err
			}
		}
		return nil
	}
	return &handler{
		create: func(tx *core.Tx, c *call) (string, error) {
			for k := range c.props {
				switch k {
				case "TopicName", "Subscription", "Tags", "DisplayName", "KmsMasterKeyId", "SignatureVersion", "TracingConfig":
				default:
					return "", reason("Encountered unsupported property " + k + " (this lab does not have it)")
				}
			}
			name := c.named("TopicName", 256)
			if tx.Region.Topics[tx.ARN("sns", name)] != nil {
				return "", wire.Errorf("AlreadyExists", "%s already exists", name)
			}
			attributes := map[string]string{}
			for _, k := range topicAttributes {
				if c.props.has(k) {
					attributes[k] = c.props.text(k)
				}
			}
			out, err := sns.CreateTopic(tx, &sns.CreateTopicInput{Name: name, Attributes: attributes, Tags: tags(c)})
			if err != nil {
				return "", err
			}
			c.id = out.TopicArn
			return c.id, subscribe(tx, c)
		},
		update: func(tx *core.Tx, c *call) error {
			for _, k := range topicAttributes {
				if !c.changed(k) {
					continue
				}
				if _, err := sns.SetTopicAttributes(tx, &sns.SetTopicAttributesInput{TopicArn: c.id, AttributeName: k, AttributeValue: c.props.text(k)}); err != nil {
					return err
				}
			}
			if c.changed("Subscription") {
				if err := unsubscribe(tx, c.id, c.old.maps("Subscription")); err != nil {
					return err
				}
				if err := subscribe(tx, c); err != nil {
					return err
				}
			}
			var gone []string
			if t := tx.Region.Topics[c.id]; t != nil {
				for k := range t.Tags {
					if _, keep := c.merged()[k]; !keep {
						gone = append(gone, k)
					}
				}
			}
			if len(gone) > 0 {
				if _, err := sns.UntagResource(tx, &sns.UntagResourceInput{ResourceArn: c.id, TagKeys: gone}); err != nil {
					return err
				}
			}
			_, err := sns.TagResource(tx, &sns.TagResourceInput{ResourceArn: c.id, Tags: tags(c)})
			return err
		},
		remove: func(tx *core.Tx, c *call) error {
			_, err := sns.DeleteTopic(tx, &sns.DeleteTopicInput{TopicArn: c.id})
			return err
		},
		attributes: func(_ *core.Tx, c *call) map[string]any {
			return map[string]any{"TopicArn": c.id, "TopicName": c.id[strings.LastIndex(c.id, ":")+1:]}
		},
		live: func(tx *core.Tx, c *call) (map[string]any, bool) {
			t := tx.Region.Topics[c.id]
			if t == nil {
				return nil, false
			}
			out := map[string]any{}
			for _, k := range topicAttributes {
				if v, ok := t.Attributes[k]; ok {
					out[k] = v
				}
			}
			return out, true
		},
	}
}

// unsubscribe ends those subscriptions of a topic that the template had made.
func unsubscribe(tx *core.Tx, topic string, made []properties) error {
	t := tx.Region.Topics[topic]
	if t == nil {
		return nil
	}
	var arns []string
	for _, s := range t.Subscriptions {
		for _, m := range made {
			if s.Protocol == m.text("Protocol") && s.Endpoint == m.text("Endpoint") {
				arns = append(arns, s.ARN)
			}
		}
	}
	for _, arn := range arns {
		if _, err := sns.Unsubscribe(tx, &sns.UnsubscribeInput{SubscriptionArn: arn}); err != nil {
			return err
		}
	}
	return nil
}

func topicPolicyHandler() *handler {
	put := func(tx *core.Tx, c *call) error {
		document := c.props["PolicyDocument"]
		text, isText := document.(string)
		if !isText {
			text = compact(document)
		}
		for _, arn := range c.props.texts("Topics") {
			if _, err := sns.SetTopicAttributes(tx, &sns.SetTopicAttributesInput{TopicArn: arn, AttributeName: "Policy", AttributeValue: text}); err != nil {
				return err
			}
		}
		return nil
	}
	return &handler{
		create: func(tx *core.Tx, c *call) (string, error) {
			if err := put(tx, c); err != nil {
				return "", err
			}
			return c.name(255), nil
		},
		update: put,
		// A topic always has a policy: what the stack made goes with the topic.
		remove:     func(*core.Tx, *call) error { return nil },
		attributes: func(_ *core.Tx, c *call) map[string]any { return map[string]any{"Id": c.id} },
	}
}

func subscriptionHandler() *handler {
	find := func(tx *core.Tx, c *call) *state.Subscription {
		if t := tx.Region.Topics[c.props.text("TopicArn")]; t != nil {
			for _, s := range t.Subscriptions {
				if s.ARN == c.id {
					return s
				}
			}
		}
		return nil
	}
	return &handler{
		create: func(tx *core.Tx, c *call) (string, error) {
			yes := true
			in := &sns.SubscribeInput{ReturnSubscriptionArn: &yes}
			if err := assign(in, c.props); err != nil {
				return "", err
			}
			out, err := sns.Subscribe(tx, in)
			if err != nil {
				return "", err
			}
			return out.SubscriptionArn, nil
		},
		remove: func(tx *core.Tx, c *call) error {
			if find(tx, c) == nil {
				return nil
			}
			_, err := sns.Unsubscribe(tx, &sns.UnsubscribeInput{SubscriptionArn: c.id})
			return err
		},
		attributes: func(_ *core.Tx, c *call) map[string]any { return map[string]any{"Arn": c.id} },
		live:       func(tx *core.Tx, c *call) (map[string]any, bool) { return map[string]any{}, find(tx, c) != nil },
	}
}

func logGroupHandler() *handler {
	retain := func(tx *core.Tx, c *call) error {
		days := c.props.number("RetentionInDays")
		if days == nil {
			if c.old.has("RetentionInDays") {
				_, err := logs.DeleteRetentionPolicy(tx, &logs.DeleteRetentionPolicyInput{LogGroupName: c.id})
				return err
			}
			return nil
		}
		_, err := logs.PutRetentionPolicy(tx, &logs.PutRetentionPolicyInput{LogGroupName: c.id, RetentionInDays: days})
		return err
	}
	return &handler{
		create: func(tx *core.Tx, c *call) (string, error) {
			in := &logs.CreateLogGroupInput{}
			if err := assign(in, c.props, "Tags", "RetentionInDays"); err != nil {
				return "", err
			}
			in.LogGroupName, in.Tags = c.named("LogGroupName", 512), c.merged()
			if _, err := logs.CreateLogGroup(tx, in); err != nil {
				return "", err
			}
			c.id = in.LogGroupName
			return c.id, retain(tx, c)
		},
		update: func(tx *core.Tx, c *call) error {
			g := tx.Region.LogGroups[c.id]
			if g == nil {
				return wire.Errorf("ResourceNotFoundException", "The specified log group does not exist.")
			}
			if err := retain(tx, c); err != nil {
				return err
			}
			_, err := logs.TagResource(tx, &logs.TagResourceInput{ResourceArn: g.ARN, Tags: c.merged()})
			return err
		},
		remove: func(tx *core.Tx, c *call) error {
			_, err := logs.DeleteLogGroup(tx, &logs.DeleteLogGroupInput{LogGroupName: c.id})
			return err
		},
		attributes: func(tx *core.Tx, c *call) map[string]any {
			out := map[string]any{}
			if g := tx.Region.LogGroups[c.id]; g != nil {
				out["Arn"] = strings.TrimSuffix(g.ARN, ":*") + ":*"
			}
			return out
		},
		live: func(tx *core.Tx, c *call) (map[string]any, bool) {
			g := tx.Region.LogGroups[c.id]
			if g == nil {
				return nil, false
			}
			return map[string]any{"RetentionInDays": float64(g.Retention)}, true
		},
	}
}
