package monitor

import (
	"bytes"
	"fmt"
	"html/template"
	"math"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// Page is the board as HTML that needs nothing but itself.
func (b *Board) Page() ([]byte, error) {
	var out bytes.Buffer
	err := page.Execute(&out, b)
	if err != nil {
		return nil, fmt.Errorf("draw dashboard %s: %w", b.Name, err)
	}
	return out.Bytes(), nil
}

var page = template.Must(template.New("page").Funcs(template.FuncMap{
	"markdown": markdown, "graph": graph, "utc": func(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05 UTC") },
	"inc": func(n int) int { return n + 1 }, "colour": colour, "last": last,
}).Parse(`<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>{{.Name}}</title>
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<style>
body { font: 13px sans-serif; margin: 1em; color: #16191f; background: #f2f3f3 }
main { display: grid; grid-template-columns: repeat(24, 1fr); grid-auto-rows: 40px; gap: 8px }
section { background: #fff; border: 1px solid #d5dbdb; padding: 8px; overflow: auto; display: flex; flex-direction: column }
h2 { font-size: 14px; margin: 0 0 4px } h1 { font-size: 18px; margin: 0 0 4px } p { margin: 2px 0 }
svg { flex: 1; min-height: 0; width: 100% } pre { white-space: pre-wrap }
.state { display: inline-block; padding: 2px 6px; margin: 2px; border-radius: 3px; color: #fff; background: #687078 }
.OK { background: #1d8102 } .ALARM, .GONE { background: #d13212 }
.key { margin-right: 1em; white-space: nowrap } .key i { display: inline-block; width: 10px; height: 10px; margin-right: 4px }
</style></head><body>
<p>Dashboard {{.Name}} from {{utc .From}} to {{utc .To}}, as it was then.</p>
<main>
{{range .Widgets}}<section class="{{.Kind}}" style="grid-column: {{inc .X}} / span {{.Width}}; grid-row: {{inc .Y}} / span {{.Height}}">
{{if .Title}}<h2>{{.Title}}</h2>{{end}}{{if eq .Kind "text"}}{{markdown .Text}}{{else if .Text}}<pre>{{.Text}}</pre>{{end}}
{{if .Alarms}}<div>{{range .Alarms}}<span class="state {{.State}}" title="{{.Reason}}">{{.Name}}: {{.State}}</span>{{end}}</div>{{end}}
{{if eq .Kind "metric"}}{{graph $ .}}<div>{{range $i, $l := .Lines}}<span class="key"><i style="background: {{colour $i $l}}"></i>{{$l.Label}}: {{last $l}}</span>{{end}}</div>{{end}}
</section>
{{end}}</main></body></html>
`))

var (
	hex    = regexp.MustCompile(`^#[0-9a-fA-F]{3,8}$`)
	series = []string{"#1f77b4", "#ff7f0e", "#2ca02c", "#d62728", "#9467bd", "#8c564b", "#e377c2", "#7f7f7f"}
)

func colour(i int, l Line) template.CSS {
	if hex.MatchString(l.Color) {
		return template.CSS(l.Color) //nolint:gosec // six digits
	}
	return template.CSS(series[i%len(series)]) //nolint:gosec // ours
}

func last(l Line) string {
	if len(l.Points) == 0 {
		return "no data"
	}
	return number(l.Points[len(l.Points)-1].Value)
}

func number(v float64) string { return strconv.FormatFloat(math.Round(v*100)/100, 'f', -1, 64) }

// Size of a drawing; the page scales it.
const (
	wide, high  = 600.0, 200.0
	left, right = 40.0, 40.0
	top, bottom = 8.0, 20.0
)

// scale is an axis from 0, or below where values are, to a little more than the most.
type scale struct{ low, high float64 }

func (s *scale) take(v float64) { s.low, s.high = min(s.low, v), max(s.high, v) }

func (s *scale) y(v float64) float64 {
	return top + (high-top-bottom)*(1-(v-s.low)/(s.high-s.low))
}

// ends gives an axis room above the most, and some length if all is 0.
func (s *scale) ends() {
	if s.high == s.low {
		s.high = s.low + 1
	}
	s.high += (s.high - s.low) * 0.05
}

// graph draws the lines of a widget. Everything in it is a number but the labels.
func graph(b *Board, w Widget) template.HTML {
	var axes [2]scale
	used := [2]bool{true, false}
	side := func(l Line) int {
		if l.Right {
			return 1
		}
		return 0
	}
	for _, l := range w.Lines {
		for _, p := range l.Points {
			axes[side(l)].take(p.Value)
			used[side(l)] = true
		}
	}
	for _, m := range w.Marks {
		axes[0].take(m.Value)
	}
	axes[0].ends()
	axes[1].ends()
	x := func(t time.Time) float64 {
		return left + (wide-left-right)*float64(t.Sub(b.From))/float64(b.To.Sub(b.From))
	}
	var s strings.Builder
	put := func(format string, args ...any) { fmt.Fprintf(&s, format+"\n", args...) }
	text := func(x, y float64, anchor, words string) {
		put(`<text x="%.1f" y="%.1f" text-anchor="%s" font-size="10" fill="#545b64">%s</text>`, x, y, anchor, template.HTMLEscapeString(words))
	}
	put(`<svg viewBox="0 0 %g %g" role="img">`, wide, high)
	for k := range 5 {
		part := float64(k) / 4
		y := high - bottom - part*(high-top-bottom)
		put(`<line x1="%g" y1="%.1f" x2="%g" y2="%.1f" stroke="#eaeded"/>`, left, y, wide-right, y)
		text(left-4, y+3, "end", number(axes[0].low+part*(axes[0].high-axes[0].low)))
		if used[1] {
			text(wide-right+4, y+3, "start", number(axes[1].low+part*(axes[1].high-axes[1].low)))
		}
		at := b.From.Add(time.Duration(part * float64(b.To.Sub(b.From))))
		text(x(at), high-6, "middle", at.UTC().Format("15:04"))
	}
	for _, m := range w.Marks {
		y := axes[0].y(m.Value)
		put(`<line x1="%g" y1="%.1f" x2="%g" y2="%.1f" stroke="#d13212" stroke-width="2" stroke-dasharray="4" shape-rendering="crispEdges"/>`, left, y, wide-right, y)
		text(left+2, y-2, "start", m.Label)
	}
	for i, l := range w.Lines {
		axis := &axes[side(l)]
		for _, part := range unbroken(l) {
			at := make([]string, len(part))
			for k, p := range part {
				at[k] = fmt.Sprintf("%.1f,%.1f", x(p.At), axis.y(p.Value))
			}
			if len(part) == 1 {
				put(`<circle cx="%.1f" cy="%.1f" r="2" fill="%s"/>`, x(part[0].At), axis.y(part[0].Value), colour(i, l))
				continue
			}
			put(`<polyline points="%s" fill="none" stroke="%s" stroke-width="1.5"/>`, strings.Join(at, " "), colour(i, l))
		}
	}
	put("</svg>")
	return template.HTML(s.String()) //nolint:gosec // labels are escaped above
}

// unbroken are the parts of a line between which data is missing.
func unbroken(l Line) (out [][]Point) {
	for i, p := range l.Points {
		if i == 0 || p.At.Sub(l.Points[i-1].At) > 5*l.Every/2 {
			out = append(out, nil)
		}
		out[len(out)-1] = append(out[len(out)-1], p)
	}
	return out
}

var link = regexp.MustCompile(`\[([^\]]+)\]\((https?://[^)\s]+)\)`)

// markdown knows headings, links and paragraphs.
func markdown(text string) template.HTML {
	var s strings.Builder
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if line == "" {
			continue
		}
		tag := "p"
		if t := strings.TrimLeft(line, "#"); t != line && strings.HasPrefix(t, " ") {
			tag, line = "h1", strings.TrimSpace(t)
		}
		line = link.ReplaceAllString(template.HTMLEscapeString(line), `<a href="$2">$1</a>`)
		fmt.Fprintf(&s, "<%s>%s</%s>", tag, line, tag)
	}
	return template.HTML(s.String()) //nolint:gosec // escaped
}
