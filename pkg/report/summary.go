package report

import (
	"fmt"
	"regexp"
	"strings"
	"time"
)

// A Row is one line of a summary.
type Row struct{ Name, Value string }

// maxSummary is the most lines a summary has.
const maxSummary = 12

// Summary shows the outcome of a run in at most 12 lines: the outcome first,
// then the rows, names aligned. Rows without a value are left out; rows beyond
// the limit are joined into the last line.
func (r *Report) Summary(outcome string, rows ...Row) {
	r.Print("\n%s", FormatSummary(outcome, rows...))
	r.mu.Lock()
	defer r.mu.Unlock()
	r.machine(func(m Machine) []string { return m.End(outcome, rows) })
}

// FormatSummary is the text of Summary.
func FormatSummary(outcome string, rows ...Row) string {
	var kept []Row
	width := 0
	for _, row := range rows {
		row.Value = oneLine(row.Value)
		if row.Value == "" {
			continue
		}
		kept = append(kept, row)
		width = max(width, len([]rune(row.Name)))
	}
	lines := []string{oneLine(outcome)}
	for i, row := range kept {
		if len(lines) == maxSummary-1 && len(kept)-i > 1 {
			var rest []string
			for _, r := range kept[i:] {
				rest = append(rest, r.Name+" "+r.Value)
			}
			lines = append(lines, "  "+strings.Join(rest, " · "))
			break
		}
		lines = append(lines, fmt.Sprintf("  %-*s  %s", width, row.Name, row.Value))
	}
	return strings.Join(lines, "\n") + "\n"
}

// Short is a duration as people read it: "0.3s", "41s", "2m03s", "1h05m".
func Short(d time.Duration) string {
	switch {
	case d < 0:
		return "0s"
	case d < 10*time.Second:
		return fmt.Sprintf("%.1fs", d.Truncate(100*time.Millisecond).Seconds())
	case d < time.Minute:
		return fmt.Sprintf("%ds", int(d.Seconds()))
	case d < time.Hour:
		return fmt.Sprintf("%dm%02ds", int(d.Minutes()), int(d.Seconds())%60)
	}
	return fmt.Sprintf("%dh%02dm", int(d.Hours()), int(d.Minutes())%60)
}

// stamp is the elapsed time before a line.
func stamp(d time.Duration) string {
	d = d.Truncate(time.Second)
	if d >= time.Hour {
		return fmt.Sprintf("%d:%02d:%02d", int(d.Hours()), int(d.Minutes())%60, int(d.Seconds())%60)
	}
	return fmt.Sprintf("%02d:%02d", int(d.Minutes()), int(d.Seconds())%60)
}

var escapes = regexp.MustCompile(`\x1b(\[[0-9;?]*[ -/]*[@-~]|\][^\x07\x1b]*(\x07|\x1b\\)|.)`)
