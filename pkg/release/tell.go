package release

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/build-deploy-chain/chain/pkg/image"
	"github.com/build-deploy-chain/chain/pkg/monitor"
	"github.com/build-deploy-chain/chain/pkg/pipeline"
	"github.com/build-deploy-chain/chain/pkg/report"
	"github.com/build-deploy-chain/chain/pkg/stack"
	"github.com/build-deploy-chain/chain/pkg/template"
	"github.com/build-deploy-chain/chain/pkg/trail"
)

// Summary is how a run ended, in words: the outcome, and what a person wants to
// know then.
func (s *State) Summary(took time.Duration) (string, []report.Row) {
	outcome := fmt.Sprintf("%s: release %d is in production", s.Place.LockName(), s.Release.Number)
	switch {
	case s.Nothing != "" && s.Finished != nil:
		outcome = fmt.Sprintf("%s: release %d, which was interrupted, is in production", s.Place.LockName(), s.Finished.Number)
	case s.Nothing != "":
		outcome = "nothing to do: " + s.Nothing
	case s.TestOnly && s.Evidence != nil:
		outcome = s.Place.LockName() + ": the change is rehearsed"
	case s.Back != 0:
		outcome = fmt.Sprintf("%s: went back, as release %d", s.Place.LockName(), s.Release.Number)
	case s.Release.Operation == "create":
		outcome = fmt.Sprintf("%s: production is up, release %d", s.Place.LockName(), s.Release.Number)
	}
	var rows []report.Row
	row := func(name, format string, args ...any) {
		rows = append(rows, report.Row{Name: name, Value: fmt.Sprintf(format, args...)})
	}
	if s.Live != nil {
		row("runs", "%s, image %s (key %s)", s.Live.Outputs["Url"], s.Live.Image(), s.Key)
		if s.Live.Group != nil && len(s.Live.Group.Serving()) > 0 {
			var since time.Time
			for _, i := range s.Live.Group.Serving() {
				if since.IsZero() || i.Launched.Before(since) {
					since = i.Launched
				}
			}
			row("since", "%s, on %d machines", since.UTC().Format("2006-01-02 15:04:05 MST"), len(s.Live.Group.Serving()))
		}
	}
	row("commit", "%s", short(s.Trail.Head()))
	if s.Evidence != nil && s.Nothing == "" {
		row("evidence", "%s", short(s.Evidence.Commit))
		row("plan", "%s", strings.Join(append(slices.Clone(s.Plans), s.PlanID()), ","))
	}
	spent := s.phases(took)
	if chain, sum, wall := s.path.Critical(); sum > 0 && s.Nothing == "" {
		spent += fmt.Sprintf("; critical path: %s; wall time is x %.2f of it", steepest(chain, sum), wall.Seconds()/sum.Seconds())
	}
	row("took", "%s", spent)
	for _, a := range s.served() {
		row("served", "%s", a)
	}
	if s.Live != nil {
		look := "curl "
		if s.Target.SOCKS != "" {
			look += "-x socks5h://" + s.Target.SOCKS + " "
		}
		row("look", "%s%s", look, s.Live.Outputs["Url"])
	}
	if s.Watched != nil {
		tellUntold(row, s.Watched)
	}
	if (s.Release.Number > 0 && s.Nothing == "" || s.Finished != nil) && !s.TestOnly {
		row("undo", "./station.sh rollback")
	}
	return outcome, rows
}

// steepest are those steps of a chain that took a twentieth of it or more, five at
// most, in their order.
func steepest(chain []pipeline.Span, sum time.Duration) string {
	longest := slices.Clone(chain)
	slices.SortStableFunc(longest, func(a, b pipeline.Span) int { return cmp.Compare(b.Took(), a.Took()) })
	least := sum / 20
	if len(longest) > 5 {
		least = max(least, longest[4].Took())
	}
	var parts []string
	for _, s := range chain {
		if s.Took() >= least && len(parts) < 5 {
			parts = append(parts, s.Step+" "+report.Short(s.Took()))
		}
	}
	return strings.Join(parts, " > ")
}

// phases are the times of the large parts.
func (s *State) phases(took time.Duration) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var parts []string
	add := func(name string, d time.Duration) {
		if d >= 50*time.Millisecond {
			parts = append(parts, name+" "+report.Short(d))
		}
	}
	add("bake", s.Seconds["bake"])
	r := s.Rehearsal.Record
	if !r.Ended.IsZero() {
		add("rehearsal", r.Ended.Sub(r.Began))
	}
	add("production", s.Seconds["production"])
	return strings.Join(append([]string{"all " + report.Short(took)}, parts...), ", ")
}

func (s *State) served() []string {
	var out []string
	for _, a := range s.Rehearsal.Record.Availability {
		if a.Phase == "update" || a.Phase == "rollback" {
			out = append(out, fmt.Sprintf("rehearsed %s: %s", a.Phase, a.Figures()))
		}
	}
	for _, a := range s.Available {
		if a.Phase == "production" {
			out = append(out, "production: "+a.Figures())
		}
	}
	return out
}

// Status is what production is now: from Git and one stack.
func (c *Chain) Status(ctx context.Context) (string, []report.Row, error) {
	var rows []report.Row
	row := func(name, format string, args ...any) {
		rows = append(rows, report.Row{Name: name, Value: fmt.Sprintf(format, args...)})
	}
	st := c.Account.Stack(c.Environment.Stack())
	now, err := st.Read(ctx)
	var outcome string
	switch {
	case errors.Is(err, stack.ErrAbsent):
		outcome = fmt.Sprintf("%s is not there (%s, account %s, %s)", c.Environment.Stack(), c.Target.Name, c.Target.Account, c.Target.Region)
	case err != nil:
		return "", nil, explain(ctx, "read the stack", &State{Chain: c}, err)
	default:
		outcome = fmt.Sprintf("%s is %s (%s, account %s, %s)", now.Name, now.Status, c.Target.Name, c.Target.Account, c.Target.Region)
		row("runs", "%s, image %s", now.Outputs["Url"], now.Image())
		if g := now.Group; g != nil {
			var health []string
			for _, i := range g.Instances {
				health = append(health, fmt.Sprintf("%s %s %s", i.ID, i.Lifecycle, i.Health))
			}
			row("machines", "%d wanted: %s", g.Capacity.Desired, strings.Join(health, ", "))
			for _, image := range now.Images() {
				if image != now.Image() {
					row("differs", "machines run %s, the stack says %s", image, now.Image())
				}
			}
		}
		row("protected", "%v", now.Protected)
		watched, err := c.watches(ctx, now)
		if err != nil {
			return "", nil, explain(ctx, "look at the alarms", &State{Chain: c}, err)
		}
		tellWatch(row, watched)
	}
	last, err := c.Trail.Last(ctx, c.Place)
	if err != nil {
		return "", nil, gitFailure(err)
	}
	if last != nil {
		text := fmt.Sprintf("%d, %s, %s by %s", last.Number, last.Operation, last.Intended.Format(time.RFC3339), last.By)
		if last.Outcome == nil {
			row("release", "%s: UNDER WAY or interrupted; ./station.sh release goes on with it", text)
		} else {
			row("release", "%s: %s %s", text, last.Outcome.Result, last.Outcome.Reason)
		}
	}
	h, id, err := c.Trail.Holder(ctx, c.Place.LockName())
	if err != nil {
		return "", nil, gitFailure(err)
	}
	if h != nil {
		row("lock", "%s (%s)", h, short(id))
		if age := c.Clock.Now().Sub(h.Updated); age > trail.Stale {
			row("", "no sign of life for %s; if that run is dead: ./station.sh lock:break %s", age.Round(time.Second), cmp.Or(h.Run, short(id)))
		}
	}
	waiting, err := trail.Pending(cache(c.Target))
	if err != nil {
		return "", nil, err
	}
	for _, r := range waiting {
		row("pending", "the outcome of release %d waits to be pushed; ./station.sh release does it", r.Number)
	}
	return outcome, rows, nil
}

// watches is what watches a stack, here and in other regions.
func (c *Chain) watches(ctx context.Context, s *stack.State) (*stack.Watch, error) {
	out, err := c.Account.Watched(ctx, s)
	if err != nil {
		return nil, err
	}
	list, err := c.Beside.Find(ctx, s)
	if err != nil {
		return nil, err
	}
	for _, b := range list {
		w, err := b.Account.Watched(ctx, b.State)
		if err != nil {
			return nil, err
		}
		out.Add(w, " in "+b.AWS.Region)
	}
	return out, nil
}

// tellWatch tells what watches: what fires, what cannot, and who is not told.
func tellWatch(row func(name, format string, args ...any), w *stack.Watch) {
	row("alarms", "%d: %d fire, %d have no data; ./station.sh monitor:open", w.Alarms, len(w.Firing), len(w.Unknown))
	for _, f := range w.Firing {
		row("alarm", "%s", f)
	}
	for _, u := range w.Unknown {
		row("no data", "%s", u)
	}
	tellUntold(row, w)
}

func tellUntold(row func(name, format string, args ...any), w *stack.Watch) {
	for _, u := range w.Unconfirmed {
		row("not told", "%s: its subscription was never confirmed; follow the link in AWS's message to it", u)
	}
}

// Dashboard is the link to production's dashboard and, where AWS's console does
// not show it, the dashboard drawn as one page.
func (c *Chain) Dashboard(ctx context.Context) (link string, page []byte, err error) {
	now, err := c.Account.Stack(c.Environment.Stack()).Read(ctx)
	if errors.Is(err, stack.ErrAbsent) {
		return "", nil, &report.Failure{
			Code: report.Guard, ID: "E-REL-26", What: "there is no dashboard: " + c.Environment.Stack() + " is not there",
			Where: fmt.Sprintf("%s, account %s, %s", c.Target.Name, c.Target.Account, c.Target.Region), State: "nothing was changed", Next: []string{"./station.sh release  # brings it up"},
		}
	}
	if err != nil {
		return "", nil, explain(ctx, "read the stack", &State{Chain: c}, err)
	}
	r, ok := now.Resources[template.DashboardID]
	if !ok {
		return "", nil, usage(fmt.Errorf("stack %s has no dashboard %s; its release is from before there was one, or its template leaves it out", now.Name, template.DashboardID))
	}
	link = now.Outputs["Dashboard"]
	if c.Target.Console {
		return link, nil, nil
	}
	cfg, err := c.Target.AWS(ctx)
	if err != nil {
		return "", nil, err
	}
	b, err := monitor.Read(ctx, monitor.Options{AWS: cfg, Clock: c.Clock, Factor: c.Target.Factor}, r.ID)
	if err != nil {
		return "", nil, explain(ctx, "read the dashboard", &State{Chain: c}, err)
	}
	page, err = b.Page()
	return link, page, err
}

// History is the releases as a table, the newest first, from Git alone.
func (c *Chain) History(ctx context.Context, limit int) ([]string, error) {
	list, err := c.Trail.History(ctx, c.Place, limit)
	if err != nil {
		return nil, gitFailure(err)
	}
	if len(list) == 0 {
		return []string{"no release yet"}, nil
	}
	out := []string{fmt.Sprintf("%4s  %-16s  %-9s  %-12s  %-21s  %-12s  %s", "n", "when (UTC)", "operation", "outcome", "image", "commit", "by")}
	for _, r := range list {
		result := "under way"
		if r.Outcome != nil {
			result = r.Outcome.Result
		}
		out = append(out, fmt.Sprintf("%4d  %-16s  %-9s  %-12s  %-21s  %-12s  %s",
			r.Number, r.Intended.UTC().Format("2006-01-02 15:04"), r.Operation, result, r.Candidate.Image, short(r.Commit), r.By))
	}
	return out, nil
}

// Images are production's image and the one of HEAD; "" is one that is not there.
func (c *Chain) Images(ctx context.Context) (production, candidate string, err error) {
	now, err := c.Account.Stack(c.Environment.Stack()).Read(ctx)
	switch {
	case errors.Is(err, stack.ErrAbsent):
	case err != nil:
		return "", "", explain(ctx, "read the stack", &State{Chain: c}, err)
	default:
		production = now.Image()
	}
	_, i, err := image.Current(ctx, c.ImageOptions())
	if err != nil {
		return production, "", explain(ctx, "look for the image", &State{Chain: c}, err)
	}
	if i != nil {
		candidate = i.ID
	}
	return production, candidate, nil
}

// ImageDiff words what differs between two images. What is left out is
// production's image, and the one of HEAD.
func (c *Chain) ImageDiff(ctx context.Context, from, to string) ([]string, error) {
	if from == "" || to == "" {
		production, candidate, err := c.Images(ctx)
		if err != nil {
			return nil, err
		}
		from, to = cmp.Or(from, production), cmp.Or(to, candidate)
	}
	missing := ""
	switch {
	case from == "":
		missing = "production runs no image yet"
	case to == "":
		missing = "the image of HEAD is not baked yet"
	}
	if missing != "" {
		return nil, &report.Failure{Code: report.Usage, ID: "E-IMG-02", What: missing, State: "nothing was changed", Next: []string{"./station.sh bake", "./station.sh image:diff -from=AMI -to=AMI"}}
	}
	lines, err := image.Diff(ctx, c.ImageOptions(), from, to)
	if err == nil && len(lines) == 0 {
		lines = []string{"the same is on both"}
	}
	return append([]string{from + " -> " + to}, lines...), err
}

// ImageOr is the image that is named, else production's, else the one of HEAD.
func (c *Chain) ImageOr(ctx context.Context, ami string) (string, error) {
	if ami != "" {
		return ami, nil
	}
	production, candidate, err := c.Images(ctx)
	if err != nil || production+candidate != "" {
		return cmp.Or(production, candidate), err
	}
	return "", &report.Failure{Code: report.Usage, ID: "E-IMG-02", What: "there is no image yet", State: "nothing was changed", Next: []string{"./station.sh bake"}}
}

// BreakLock breaks the locks of a dead run of this environment and tells them.
func (c *Chain) BreakLock(ctx context.Context, run string) ([]string, error) {
	broken, err := c.Trail.Break(ctx, run)
	var alive *trail.AliveError
	switch {
	case errors.As(err, &alive):
		return nil, &report.Failure{
			Code: report.Locked, ID: "E-LOCK-10", What: err.Error(), State: "the lock was not broken",
			Next: []string{"wait for it to end", fmt.Sprintf("or stop it on %s; %s after its last sign of life the same command breaks its lock", alive.Holder.Host, trail.Stale)},
		}
	case trail.IsKind(err, trail.LockLost):
		locks, listErr := c.Trail.Locks(ctx)
		if listErr != nil {
			return nil, gitFailure(listErr)
		}
		next := []string{"./station.sh status  # tells who holds this environment's lock"}
		for name := range locks {
			if h, _, err := c.Trail.Holder(ctx, name); err == nil && h != nil {
				next = append(next, fmt.Sprintf("./station.sh lock:break %s  # %s: %s", h.Run, name, h))
			}
		}
		return nil, &report.Failure{Code: report.Usage, ID: "E-LOCK-02", What: "run " + run + " holds no lock", State: "nothing was changed", Next: next}
	case err != nil:
		return nil, gitFailure(err)
	}
	var lines []string
	for _, name := range slices.Sorted(maps.Keys(broken)) {
		lines = append(lines, fmt.Sprintf("broke the lock of %s: %s", name, broken[name]))
	}
	return append(lines, "the next release finishes what that run left"), nil
}
