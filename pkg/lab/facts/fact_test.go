package facts_test

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
)

// fact is one thing that AWS does, and how to see it.
type fact struct {
	id     string // "F001"; it stays, whatever is added
	claim  string // one sentence
	source string // tags of sources, explained on the page
	seen   bool   // by these checks, on AWS itself
	lab    string // why only the lab can show it; "" if AWS can, too
	check  func(w *world)
}

// facts are all of them, in the order of the page.
var facts = slices.Concat(
	statusFacts, createFacts, updateFacts, rollbackFacts, deleteFacts, requestFacts,
	rollFacts, changeSetFacts, detailFacts, guardFacts, driftFacts,
	functionFacts, templateFacts, parameterFacts,
	balancerFacts, healthFacts, trafficFacts,
	signalFacts, groupFacts, recordFacts, typeFacts, databaseFacts, instanceFacts,
	watchFacts,
)

// sources explains the tags.
var sources = []struct{ tag, text string }{
	{"SDK", "documentation, enumerations or code of the module `aws-sdk-go-v2/service/<name>`"},
	{"UG", "the AWS CloudFormation user guide, `doc_source/<name>.md` at awsdocs 6c68a17a"},
	{"NLBUG", "the user guide of Network Load Balancers"},
	{"ASGUG", "the user guide of EC2 Auto Scaling"},
	{"LS", "answers of AWS recorded in LocalStack's snapshot tests, commit 8b9a79f"},
	{"G", "observations on AWS in guardian/testing-asg-rolling-update, commit 41e4a51"},
	{"W18", "the log of a rolling update on AWS in andresmith/CFN-Workshop-201807"},
	{"LOG", "logs of AWS that users published: hackoregon/civic-devops#282, buildkite/elastic-ci-stack-for-aws#130, awslabs/amazon-eks-ami#66, crewjam's etcd-aws, AWSinAction/code2#21"},
	{"ISSUE", "AWS's answers quoted in issues: aws-cloudformation-templates#34, cloud-platform#487, aws-cdk#5151, containers-roadmap#470, rain#744"},
	{"EUCA", "Eucalyptus's re-implementation: a good model, no proof"},
	{"CP", "the resource schemas that cfn-lint 1.51 ships"},
	{"CLI", "the aws CLI's code"},
	{"INFERRED", "concluded from the others; nobody wrote it down"},
}

// TestFacts runs every check, each in a world of its own.
func TestFacts(t *testing.T) {
	t.Parallel()
	for _, f := range facts {
		t.Run(f.id, func(t *testing.T) {
			t.Parallel()
			if live() && f.lab != "" {
				t.Skip("only the lab can show it: " + f.lab)
			}
			f.check(newWorld(t))
		})
	}
}

// A fact that is no sentence, has no source or shares its number is no fact.
func TestFactsAreWellFormed(t *testing.T) {
	t.Parallel()
	assert.GreaterOrEqual(t, len(facts), 120)
	known := map[string]bool{}
	for _, s := range sources {
		known[s.tag] = true
	}
	last := ""
	claims := map[string]string{}
	for _, f := range facts {
		assert.Regexp(t, `^F\d{3}$`, f.id)
		assert.Greater(t, f.id, last, "numbers rise")
		last = f.id
		assert.Regexp(t, `^[A-Z{].*\.$`, f.claim, f.id)
		assert.NotContains(t, f.claim, "\n", f.id)
		assert.Empty(t, claims[f.claim], f.id)
		claims[f.claim] = f.id
		tags := regexp.MustCompile(`\[([A-Z0-9]+)(?:[: ][^\]]+)?\]`).FindAllStringSubmatch(f.source, -1)
		assert.NotEmpty(t, tags, f.id)
		for _, m := range tags {
			assert.True(t, known[m[1]], "%s: source %s is not explained", f.id, m[1])
		}
		assert.Equal(t, strings.TrimSpace(f.source), f.source, f.id)
	}
}

func live() bool { return os.Getenv("LIVE_AWS") == "1" }
