package drill

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	astypes "github.com/aws/aws-sdk-go-v2/service/autoscaling/types"
	"github.com/aws/aws-sdk-go-v2/service/sns"
)

func launch(id, version string) *astypes.LaunchTemplateSpecification {
	return &astypes.LaunchTemplateSpecification{LaunchTemplateId: &id, Version: &version}
}

// listener is an endpoint of HTTP that confirms subscriptions and hears alarms.
type listener struct {
	server *http.Server
	url    string

	mu        sync.Mutex
	api       map[string]*sns.Client // by topic
	confirmed map[string]error       // by topic
	heard     map[string]bool        // "NAME STATE"
}

func listen(ctx context.Context, address string) (*listener, error) {
	at, err := (&net.ListenConfig{}).Listen(ctx, "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("open a listener for alarms: %w", err)
	}
	l := &listener{api: map[string]*sns.Client{}, url: "http://" + at.Addr().String() + "/", confirmed: map[string]error{}, heard: map[string]bool{}}
	l.server = &http.Server{Handler: l, ReadHeaderTimeout: 10 * time.Second}
	go func() { _ = l.server.Serve(at) }() // ends by close
	return l, nil
}

func (l *listener) close() { _ = l.server.Close() }

// ServeHTTP takes one message of SNS.
func (l *listener) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(io.LimitReader(r.Body, 1<<20))
	var m struct{ Type, TopicArn, Token, Message string }
	if err != nil || json.Unmarshal(body, &m) != nil {
		http.Error(w, "no message of SNS", http.StatusBadRequest)
		return
	}
	switch m.Type {
	case "SubscriptionConfirmation":
		l.mu.Lock()
		api := l.api[m.TopicArn]
		l.mu.Unlock()
		if api == nil {
			http.Error(w, "no topic of ours", http.StatusForbidden)
			return
		}
		_, err := api.ConfirmSubscription(r.Context(), &sns.ConfirmSubscriptionInput{TopicArn: &m.TopicArn, Token: &m.Token})
		l.mu.Lock()
		l.confirmed[m.TopicArn] = err
		l.mu.Unlock()
	case "Notification":
		var a struct{ AlarmName, NewStateValue string }
		if json.Unmarshal([]byte(m.Message), &a) == nil {
			l.mu.Lock()
			l.heard[a.AlarmName+" "+a.NewStateValue] = true
			l.mu.Unlock()
		}
	}
}

func (l *listener) has(name, state string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.heard[name+" "+state]
}

// subscribe has a topic tell the listener, once the topic has asked whether it may.
func (l *listener) subscribe(ctx context.Context, d *drill, api *sns.Client, topic string) error {
	l.mu.Lock()
	l.api[topic] = api
	l.mu.Unlock()
	if _, err := api.Subscribe(ctx, &sns.SubscribeInput{TopicArn: &topic, Protocol: aws.String("http"), Endpoint: &l.url}); err != nil {
		return fmt.Errorf("subscribe to %s: %w", topic, err)
	}
	end := d.Clock.Now().Add(max(d.scale(5*time.Minute), 30*time.Second))
	return d.Poll.Until(ctx, d.Clock, func(context.Context) (bool, error) {
		l.mu.Lock()
		defer l.mu.Unlock()
		err, asked := l.confirmed[topic]
		if err == nil && !asked && d.Clock.Now().After(end) {
			err = fmt.Errorf("a subscription of %s was not confirmed: nobody asked at %s", topic, l.url)
		}
		return asked, err
	})
}
