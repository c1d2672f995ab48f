package recovery

import (
	"bytes"
	_ "embed"
	"fmt"
	htmltemplate "html/template"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/google/renameio/v2"

	"github.com/build-deploy-chain/chain/pkg/config"
	"github.com/build-deploy-chain/chain/pkg/vault"
)

// Runbook is what somebody reads at three in the morning: one page, with the
// command lines of this very environment.
type Runbook struct {
	Title    string
	Contacts []string
	Sections []Section
}

// Section of a runbook: when it applies, and what is done.
type Section struct {
	Title string
	Text  []string
	Lines []Line
}

// Line is a command, and what it is for.
type Line struct{ Command, Why string }

// RunbookFor writes the runbook of an environment as chain.yaml describes it.
func RunbookFor(e *config.Environment) Runbook {
	home, other := e.Regions[0], ""
	if len(e.Regions) > 1 {
		other = e.Regions[1]
	}
	there := other
	if there == "" {
		there = "REGION"
	}
	account := e.Account
	if account == "" {
		account = "ACCOUNT"
	}
	bucket := vault.Name(e.Stack(), account, there)
	if there == "REGION" || account == "ACCOUNT" {
		bucket = e.Stack() + "-backups-" + account + "-" + there
	}
	r := Runbook{Title: fmt.Sprintf("%s is down: %s", e.Stack(), e.Domain), Contacts: e.Recovery.Contacts}
	add := func(title string, text []string, lines ...Line) {
		r.Sections = append(r.Sections, Section{title, text, lines})
	}
	add("1. Look, five minutes at most", []string{
		"You need this repository, a laptop, and a way into AWS. The CI server is not needed and not asked.",
		"Whoever looks tells the others now, before anything is known.",
	},
		Line{"git clone URL && cd DIRECTORY && ./station.sh setup", "a laptop that has nothing yet; -yes asks nothing"},
		Line{"aws s3 cp --region " + there + " s3://" + bucket + "/" + bundlePrefix + "MONTH/NEWEST.bundle . && git clone NEWEST.bundle", "if Git's server is lost as well: releases, templates and evidence; aws s3 ls --recursive names the newest"},
		Line{"aws sts get-caller-identity", "who AWS thinks you are; aws sso login --profile NAME"},
		Line{"./station.sh status", "the stack, its machines, alarms that fire, releases under way"},
		Line{"curl -sS -m 5 http://" + e.Domain + "/version", "what users get"},
	)
	add("2. Decide", []string{
		"A release of the last hours: take it back, that is minutes and leaves the data alone.",
		"Machines that are broken, and the stack is there: a commit that mends them.",
		"The stack is gone, or " + home + " is: recover. Declare it as soon as AWS's health page names " + home + ", or nothing has changed for a quarter of an hour: the recovery itself is promised within " + e.Recovery.RTO.String() + ", and waiting counts.",
		"The CI server first, or production first? Production: a recovery runs from your laptop and needs no CI. CI first is right only if people other than you must release within the hour; the last step of a recovery brings its newest backup to your laptop, if recovery.ci is set, and says how it goes on.",
		"From outside this repository you need: " + strings.Join(append(slices.Clone(Declared[:3]), e.Recovery.Inputs...), ", ") + "; what survived of images, snapshots and vault; else Debian's base image and packages.",
	},
		Line{"./station.sh rollback", "back to what ran before the last release"},
		Line{"./station.sh release -fix", "a commit that mends it; no alarm takes it back"},
	)
	data := []string{"This environment keeps no data of its own: nothing is restored."}
	if e.Database != nil {
		data = []string{
			"The database is restored from the newest snapshot or copy in the region; data of up to " + e.Recovery.RPO.String() + " may be lost by promise. With -at an older one is taken: before somebody deleted rows, say.",
		}
	}
	lines := []Line{
		{"./station.sh dr:recover", "in " + home + ", where the stack is gone and the region is there"},
		{"./station.sh dr:recover -region=" + there, "in another region; it must be in regions: of chain.yaml, rendered by ./station.sh template and committed"},
	}
	if e.Database != nil {
		lines = append(lines, Line{"./station.sh dr:recover -region=" + there + " -at=2026-01-31T03:00:00Z", "with data no newer than that"})
	}
	lines = append(lines,
		Line{"./station.sh dr:recover -region=" + there + " -bake", "does not wait for a copy of the image that is under way"},
		Line{"./station.sh dr:recover", "the very same command again, whenever it stopped: it goes on"},
	)
	add("3. Recover", append([]string{
		"It looks first for all that would stop it, names each with its remedy, and makes nothing until all is well. It only creates. On AWS it asks for the stack's name.",
		"With an image that survived it takes minutes; without one it bakes, about ten more.",
	}, data...), lines...)
	add("4. Afterwards", []string{
		"The report is below .chain/dr/; the release is recorded as recovered-unrehearsed.",
		"As long as production is in another region, say CHAIN_REGION with every command.",
		"Lead the domain back only when " + home + " serves again, and at a quiet hour.",
	},
		Line{"CHAIN_REGION=" + there + " ./station.sh status", "production where it is now"},
		Line{"CHAIN_REGION=" + there + " ./station.sh release", "releases there"},
		Line{"./station.sh dr:switch -region=" + home, "leads " + e.Domain + " back, if the stack there serves"},
		Line{"./station.sh sweep", "what dead runs left"},
	)
	practice := "./station.sh dr:drill"
	if other != "" {
		practice += " -region=" + other
	}
	add("5. Before it happens", []string{"Practise it; a drill leaves production alone and nothing behind."},
		Line{"./station.sh dr:backup", "what is due, now; TeamCity calls it each hour"},
		Line{"./station.sh dr:status", "what a recovery would rest on, and what is lacking"},
		Line{practice, "beside production, which runs on"},
		Line{"./station.sh dr:drill -scenario=amis-gone", "as if no image had survived"},
	)
	return r
}

// Markdown is the runbook as docs/runbook.md has it.
func (r Runbook) Markdown() string {
	var b strings.Builder
	fmt.Fprintf(&b, "# %s\n\nGenerated from chain.yaml (`go test ./pkg/recovery -run TestRunbook -update`); `./station.sh dr:runbook` writes it as a page to print.\n", r.Title)
	b.WriteString("\n" + strings.Join(r.people(), "  \n") + "\n")
	for _, s := range r.Sections {
		fmt.Fprintf(&b, "\n## %s\n\n", s.Title)
		for _, t := range s.Text {
			b.WriteString("- " + t + "\n")
		}
		b.WriteString("\n```\n")
		for _, l := range s.Lines {
			fmt.Fprintf(&b, "%s\n    # %s\n", l.Command, l.Why)
		}
		b.WriteString("```\n")
	}
	return b.String()
}

func (r Runbook) people() []string {
	if len(r.Contacts) == 0 {
		return []string{"Nobody is named in `recovery.contacts` of chain.yaml."}
	}
	out := []string{"Call:"}
	return append(out, r.Contacts...)
}

//go:embed runbook.html
var runbookPage string

// HTML is the runbook as one page that loads nothing, to be printed.
func (r Runbook) HTML() ([]byte, error) {
	t, err := htmltemplate.New("runbook").Parse(runbookPage)
	if err != nil {
		return nil, fmt.Errorf("read the page of the runbook: %w", err)
	}
	var b bytes.Buffer
	if err := t.Execute(&b, map[string]any{"R": r, "People": r.people()}); err != nil {
		return nil, fmt.Errorf("write the page of the runbook: %w", err)
	}
	return b.Bytes(), nil
}

// WriteRunbook writes the page of production's runbook below .chain/dr, and
// returns its path.
func WriteRunbook(c *config.Config) (string, error) {
	site, err := c.Site("")
	if err != nil {
		return "", err
	}
	e, err := site.Environment("")
	if err != nil {
		return "", err
	}
	page, err := RunbookFor(e).HTML()
	if err != nil {
		return "", err
	}
	file := filepath.Join(c.Dir, ".chain", "dr", "runbook.html")
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return "", fmt.Errorf("write the runbook: %w", err)
	}
	if err := renameio.WriteFile(file, page, 0o644); err != nil {
		return "", fmt.Errorf("write the runbook: %w", err)
	}
	return file, nil
}
