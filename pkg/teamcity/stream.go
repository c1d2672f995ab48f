package teamcity

import (
	"cmp"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/build-deploy-chain/chain/pkg/pipeline"
	"github.com/build-deploy-chain/chain/pkg/report"
)

// Stream is what a build says to TeamCity while a report shows a run: each step
// is a block, branches that run at the same time are flows, and expectations
// are tests. It is a report.Machine.
type Stream struct {
	// Suite is what the tests of the run are called after, "release".
	Suite string
}

var _ report.Machine = Stream{}

// The limits of TeamCity.
const (
	longest    = 4000 // of a build problem's description
	statistics = "chain."
)

// Line is a line of the build log. Those of a branch carry its flow, or they
// would stand in whichever block was opened last.
func (Stream) Line(e pipeline.Event, text string) string {
	status := ""
	switch e.Kind {
	case pipeline.Failed, pipeline.LeftBehind:
		status = "ERROR"
	}
	if e.Flow == "" && status == "" {
		return Neutral(text)
	}
	return Message("message", Attr{"text", text}, Attr{"status", status}, Attr{"flowId", e.Flow})
}

// Tell is the messages of an event.
func (s Stream) Tell(e pipeline.Event) []string {
	flow := Attr{"flowId", e.Flow}
	switch e.Kind {
	case pipeline.Started:
		return []string{Message("blockOpened", Attr{"name", e.Step}, flow), s.progress(e, e.Step)}
	case pipeline.Await:
		if e.Text == "" {
			return nil
		}
		return []string{s.progress(e, e.Text)}
	case pipeline.Done:
		return []string{
			statistic("seconds."+e.Step, strconv.FormatFloat(e.Took.Seconds(), 'f', 3, 64)),
			Message("blockClosed", Attr{"name", e.Step}, flow),
		}
	case pipeline.Failed:
		return []string{Message("blockClosed", Attr{"name", e.Step}, flow)}
	case pipeline.Tested:
		return test(s.Suite+": "+e.Name, e.Took, flow, e.Text)
	case pipeline.Measured:
		return []string{statistic(e.Name, e.Text)}
	case pipeline.Fact:
		return s.fact(e.Name, e.Text)
	}
	return nil
}

func (s Stream) progress(e pipeline.Event, text string) string {
	if s.Suite != "" {
		text = s.Suite + ": " + text
	}
	if e.Flow != "" {
		return "" // the build has one progress, and the branches would fight for it
	}
	return Single("progressMessage", text)
}

// handed is what later builds and people look for: parameters that the build's
// configuration declares.
var handed = map[string]*regexp.Regexp{
	"image": regexp.MustCompile(`^ami-[0-9a-f]{8,17}$`),
	"plan":  regexp.MustCompile(`^[0-9a-f]{12}(,[0-9a-f]{12})*$`), // one for each region,
}

// fact hands one on.
func (Stream) fact(name, value string) []string {
	if known := handed[name]; known == nil || !known.MatchString(value) {
		return nil
	}
	return []string{Message("setParameter", Attr{"name", "chain." + name}, Attr{"value", value}), Single("addBuildTag", value)}
}

// statistic is a number for the project's charts, "" for what is none: TeamCity
// takes 13 digits before the point and 6 after it.
func statistic(name, number string) string {
	f, err := strconv.ParseFloat(number, 64)
	if err != nil || f >= 1e13 || f <= -1e13 || f != f {
		return ""
	}
	parts := strings.Split(name, ".")
	for i := range parts {
		parts[i] = slug(parts[i])
	}
	value := strconv.FormatFloat(f, 'f', 6, 64)
	return Message("buildStatisticValue", Attr{"key", statistics + strings.Join(parts, ".")}, Attr{"value", strings.TrimRight(strings.TrimRight(value, "0"), ".")})
}

// test is a whole test, at once: a second one that began in the same flow would
// end the first.
func test(name string, took time.Duration, flow Attr, bad string) []string {
	out := []string{Message("testStarted", Attr{"name", name}, flow)}
	if bad != "" {
		first, _, _ := strings.Cut(strings.TrimSpace(bad), "\n")
		out = append(out, Message("testFailed", Attr{"name", name}, Attr{"message", cmp.Or(cut(first, longest), "failed")}, Attr{"details", bad}, flow))
	}
	return append(out, Message("testFinished", Attr{"name", name}, Attr{"duration", strconv.FormatInt(took.Milliseconds(), 10)}, flow))
}

// Fail is a build problem, the same one for as long as the error has the same
// code. A run that was stopped has none: who stopped it knows.
func (Stream) Fail(f *report.Failure, text string) []string {
	if f.ExitStatus() == report.Detached {
		return []string{Message("message", Attr{"text", text}, Attr{"status", "WARNING"})}
	}
	id := f.ID
	if id == "" {
		id = fmt.Sprint("exit code ", f.ExitStatus())
	}
	return []string{Message("buildProblem", Attr{"description", cut(strings.TrimPrefix(strings.TrimSpace(text), "✖ "), longest)}, Attr{"identity", Identity(id)})}
}

// End is the build's status text.
func (s Stream) End(outcome string, rows []report.Row) []string {
	out := []string{Message("buildStatus", Attr{"text", "{build.status.text}; " + outcome})}
	for _, r := range rows {
		out = append(out, s.fact(r.Name, r.Value)...)
	}
	return out
}

// Files are artifacts of the build.
func (Stream) Files(paths []string) []string {
	var out []string
	for _, p := range paths {
		out = append(out, Single("publishArtifacts", p+" => log"))
	}
	return out
}
