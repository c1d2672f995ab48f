package teamcity

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/build-deploy-chain/chain/pkg/pipeline"
	"github.com/build-deploy-chain/chain/pkg/report"
)

type properties struct {
	Property []property `json:"property"`
}

type property struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

func (p properties) value(name string) string {
	for _, one := range p.Property {
		if one.Name == name {
			return one.Value
		}
	}
	return ""
}

type buildType struct {
	ID         string     `json:"id"`
	Name       string     `json:"name"`
	Parameters properties `json:"parameters"`
}

// Build is one build as the server tells it.
type Build struct {
	ID     int64  `json:"id"`
	Number string `json:"number"`
	State  string `json:"state"`  // "queued", "running", "finished"
	Status string `json:"status"` // "SUCCESS", "FAILURE", "UNKNOWN"
	Text   string `json:"statusText"`
	URL    string `json:"webUrl"`
}

const buildFields = "id,number,state,status,statusText,webUrl"

// buildTypes are the project's builds.
func (c *Client) buildTypes(ctx context.Context, project string) ([]buildType, error) {
	var list struct {
		BuildType []buildType `json:"buildType"`
	}
	err := c.get(ctx, "/buildTypes", url.Values{
		"locator": {"affectedProject:(id:" + project + ")"}, "fields": {"buildType(id,name,parameters(property(name,value)))"},
	}, &list)
	return list.BuildType, err
}

// target is what a build runs, as its settings say.
func (b buildType) target() string {
	word, _, _ := strings.Cut(b.Parameters.value("chain.target"), " ")
	return word
}

// last is the newest build of a kind, nil if there was none.
func (c *Client) last(ctx context.Context, id string) (*Build, error) {
	var list struct {
		Build []Build `json:"build"`
	}
	err := c.get(ctx, "/builds", url.Values{
		"locator": {"buildType:(id:" + id + "),defaultFilter:false,state:any,count:1"}, "fields": {"build(" + buildFields + ")"},
	}, &list)
	if err != nil || len(list.Build) == 0 {
		return nil, err
	}
	return &list.Build[0], nil
}

type agent struct {
	ID         int64  `json:"id"`
	Name       string `json:"name"`
	Connected  bool   `json:"connected"`
	Authorized bool   `json:"authorized"`
}

func (c *Client) agents(ctx context.Context) ([]agent, error) {
	var list struct {
		Agent []agent `json:"agent"`
	}
	err := c.get(ctx, "/agents", url.Values{"locator": {"authorized:any,connected:any"}, "fields": {"agent(id,name,connected,authorized)"}}, &list)
	return list.Agent, err
}

// Status tells the server, its agents and the newest build of each kind.
func (c *Client) Status(ctx context.Context, project string) (string, []report.Row, error) {
	version, err := c.Guard(ctx)
	if err != nil {
		return "", nil, err
	}
	failed := func(err error) (string, []report.Row, error) {
		return "", nil, refused(err, "TeamCity does not tell how it is", "nothing was changed")
	}
	agents, err := c.agents(ctx)
	if err != nil {
		return failed(err)
	}
	connected, waiting := 0, []string{}
	for _, a := range agents {
		switch {
		case !a.Authorized:
			waiting = append(waiting, a.Name)
		case a.Connected:
			connected++
		}
	}
	rows := []report.Row{{Name: "agents", Value: fmt.Sprintf("%d of %d connected", connected, len(agents)-len(waiting))}}
	if len(waiting) > 0 {
		rows = append(rows, report.Row{Name: "not authorised", Value: strings.Join(waiting, ", ")})
	}
	types, err := c.buildTypes(ctx, project)
	if err != nil {
		return failed(err)
	}
	for _, t := range types {
		b, err := c.last(ctx, t.ID)
		if err != nil {
			return failed(err)
		}
		value := "never built"
		if b != nil {
			value = fmt.Sprintf("#%s %s, %s", b.Number, b.State, b.Text)
		}
		rows = append(rows, report.Row{Name: t.Name, Value: value})
	}
	return fmt.Sprintf("TeamCity %s at %s", version, c.o.URL), rows, nil
}

// Trigger queues the build that runs a target, follows it, and fails if it does.
// A build that is followed no longer goes on.
func (c *Client) Trigger(ctx context.Context, run *pipeline.Run, project, target string) (*Build, error) {
	if _, err := c.Guard(ctx); err != nil {
		return nil, err
	}
	const untouched = "nothing was queued"
	types, err := c.buildTypes(ctx, project)
	if err != nil {
		return nil, refused(err, "TeamCity does not tell its builds", untouched)
	}
	var known []string
	id := ""
	for _, t := range types {
		known = append(known, t.target())
		if t.target() == target {
			id = t.ID
		}
	}
	if id == "" {
		return nil, &report.Failure{
			Code: report.Usage, ID: "E-TC-05", What: fmt.Sprintf("no build runs %q", target), Where: "project " + project, State: untouched,
			Next: []string{"one of: " + strings.Join(known, ", ")},
		}
	}
	b, err := c.queue(ctx, id)
	if err != nil {
		return nil, refused(err, "the build was not queued", "it may be queued after all: ./station.sh teamcity:status tells")
	}
	run.Note("queued: %s", b.URL)
	return b, c.follow(ctx, run, b)
}

func (c *Client) queue(ctx context.Context, id string) (*Build, error) {
	b := &Build{}
	err := c.do(ctx, "POST", "/buildQueue", url.Values{"fields": {buildFields}}, map[string]any{
		"buildType": map[string]string{"id": id}, "comment": map[string]string{"text": "station.sh teamcity:trigger"},
	}, b)
	return b, err
}

// follow waits for a build's end.
func (c *Client) follow(ctx context.Context, run *pipeline.Run, b *Build) error {
	defer run.Await("")
	for b.State != "finished" {
		run.Await("%s %s", b.State, b.Text)
		if err := c.o.Clock.Sleep(ctx, c.o.Poll); err != nil {
			return err
		}
		if err := c.get(ctx, fmt.Sprintf("/builds/id:%d", b.ID), url.Values{"fields": {buildFields}}, b); err != nil {
			return refused(err, "the build cannot be followed", "it goes on: "+b.URL)
		}
	}
	if b.Status != "SUCCESS" {
		return &report.Failure{Code: report.Internal, ID: "E-TC-06", What: fmt.Sprintf("build #%s ended with %s: %s", b.Number, b.Status, b.Text), Where: b.URL, State: "the build's own log tells it"}
	}
	return nil
}

// backups last as long as there are build logs; this is where patience ends.
const patience = 2 * time.Hour

// Backup has the server write configuration, database and build logs to a file
// in its data directory, waits for it, and returns the name. Artifacts are not
// in it.
func (c *Client) Backup(ctx context.Context, run *pipeline.Run, name string) (string, error) {
	if _, err := c.Guard(ctx); err != nil {
		return "", err
	}
	if err := c.idle(ctx, run); err != nil {
		return "", err
	}
	var file string
	err := c.do(ctx, "POST", "/server/backup", url.Values{
		"addTimestamp": {"true"}, "fileName": {name}, "includeBuildLogs": {"true"}, "includeConfigs": {"true"}, "includeDatabase": {"true"}, "includePersonalChanges": {"true"},
	}, nil, &file)
	if err != nil {
		return "", refused(err, "the backup was not begun", "nothing was written")
	}
	return file, c.idle(ctx, run)
}

// idle waits until no backup is written.
func (c *Client) idle(ctx context.Context, run *pipeline.Run) error {
	defer run.Await("")
	for until := c.o.Clock.Now().Add(patience); ; {
		var state string
		if err := c.get(ctx, "/server/backup", nil, &state); err != nil {
			return refused(err, "TeamCity does not tell whether it writes a backup", "the server is as it was")
		}
		if strings.EqualFold(state, "Idle") {
			return nil
		}
		if c.o.Clock.Now().After(until) {
			return refused(errors.New("it is "+state), "the backup does not end", "the server goes on with it")
		}
		run.Await("the backup")
		if err := c.o.Clock.Sleep(ctx, c.o.Poll); err != nil {
			return err
		}
	}
}
