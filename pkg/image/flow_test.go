package image_test

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/build-deploy-chain/chain/pkg/image"
	"github.com/build-deploy-chain/chain/pkg/lab/core"
	"github.com/build-deploy-chain/chain/pkg/lab/state"
	"github.com/build-deploy-chain/chain/pkg/pipeline"
	"github.com/build-deploy-chain/chain/pkg/report"
	"github.com/build-deploy-chain/chain/pkg/template"
	"github.com/build-deploy-chain/chain/pkg/trail"
)

func failure(t *testing.T, err error) *report.Failure {
	t.Helper()
	var f *report.Failure
	require.ErrorAs(t, err, &f)
	assert.NotEmpty(t, f.Next)
	assert.NotEmpty(t, f.State)
	return f
}

func TestBake(t *testing.T) {
	b := newBench(t)
	before := git(t, b.dir, "status", "--porcelain") + git(t, b.dir, "for-each-ref")
	first, err := b.bake(b.options())
	require.NoError(t, err)
	assert.False(t, first.Reused)
	assert.Equal(t, "web-"+first.Recipe.Key+"-1", first.Name)
	assert.Equal(t, []string{"apache2 2.4", "base-files 12"}, first.Packages)
	assert.Equal(t, 2, first.Examples)
	assert.Equal(t, first.Image, b.inTemplate())
	assert.True(t, first.Written.New)
	b.onlyLeft(first.Image)
	i, err := b.client.Image(t.Context(), first.Image)
	require.NoError(t, err)
	for tag, want := range map[string]string{
		image.TagKey: first.Recipe.Key, image.TagRole: "web", image.TagState: image.Good, image.TagCommit: first.Recipe.Commit,
		image.TagBase: first.Recipe.Base.ID, image.TagPuppet: "7.23", image.TagServerspec: "2.42", image.TagPacker: "1.11.2", image.TagRun: "run-1",
	} {
		assert.Equal(t, want, i.Tags[tag], tag)
	}
	assert.Contains(t, b.told(), "puppet apply")

	// Again: nothing is started, nothing is written.
	again, err := b.bake(b.options())
	require.NoError(t, err)
	assert.True(t, again.Reused)
	assert.False(t, again.Written.New)
	assert.Equal(t, 1, b.tools.builds)
	assert.Contains(t, b.told(), "unchanged: reusing "+first.Image+" baked at commit "+first.Recipe.Commit)

	// Another page, another image.
	put(t, b.dir, "puppet/page", "Hello World, again\n")
	commit(t, b.dir, "page")
	second, err := b.bake(b.options())
	require.NoError(t, err)
	assert.NotEqual(t, first.Image, second.Image)
	assert.Equal(t, second.Image, b.inTemplate())
	assert.Contains(t, b.told(), "in: puppet/page changed")
	b.onlyLeft(first.Image, second.Image)

	// Back to the first page: its image is still there.
	git(t, b.dir, "revert", "--no-edit", "HEAD")
	back, err := b.bake(b.options())
	require.NoError(t, err)
	assert.Equal(t, first.Image, back.Image)
	assert.Equal(t, first.Image, b.inTemplate())
	assert.Equal(t, 2, b.tools.builds)

	// By force: a new attempt, which then is the one.
	o := b.options()
	o.Force = true
	forced, err := b.bake(o)
	require.NoError(t, err)
	assert.Equal(t, 2, forced.Attempt)
	assert.Equal(t, forced.Image, b.inTemplate())
	kept, err := b.bake(b.options())
	require.NoError(t, err)
	assert.Equal(t, forced.Image, kept.Image)

	// Somebody deregistered it: the other good one serves.
	gone, err := b.client.Image(t.Context(), forced.Image)
	require.NoError(t, err)
	require.NoError(t, b.client.RemoveImage(t.Context(), *gone))
	left, err := b.bake(b.options())
	require.NoError(t, err)
	assert.Equal(t, first.Image, left.Image)
	b.onlyLeft(first.Image, second.Image)
	git(t, b.dir, "reset", "--quiet", "--hard", "HEAD~2")
	assert.Equal(t, before, git(t, b.dir, "status", "--porcelain")+git(t, b.dir, "for-each-ref"))
}

func TestWhatIsBadIsNotKept(t *testing.T) {
	for name, spoil := range map[string]func(*tools) (id, text string){
		"provisioning fails": func(x *tools) (string, string) {
			x.refuse = "puppet apply: puppet could not bring some resources to their state (exit 6)"
			return "E-BAKE-01", "Could not start Service[apache2]; provision: puppet apply"
		},
		"no registry": func(x *tools) (string, string) {
			x.refuse = "install Puppet and Serverspec: the package registry cannot be reached (apt-get update)"
			return "E-BAKE-09", "registry"
		},
		"disk full": func(x *tools) (string, string) {
			x.refuse = "prepare: disk nearly full: 1 MiB free on /, 500 MiB needed"
			return "E-BAKE-07", "500 MiB needed"
		},
		"not idempotent": func(x *tools) (string, string) {
			x.refuse = "puppet apply again: a second apply must change nothing (exit 2): see the resources named above"
			return "E-BAKE-01", "a second apply must change nothing"
		},
		"disk full on the way": func(x *tools) (string, string) {
			x.refuse = "puppet apply: puppet could not bring some resources to their state (exit 6)\n" +
				"==> web.amazon-ebs.image: E: Write error - write (28: No space left on device)"
			return "E-BAKE-07", "No space left on device"
		},
		"nobody gets in": func(x *tools) (string, string) {
			x.refuse = "x\n==> web.amazon-ebs.image: Timeout waiting for SSH."
			return "E-BAKE-15", "let nobody in by SSH"
		},
		"an expectation from outside": func(x *tools) (string, string) {
			x.failing = []string{"Package puppet is absent"}
			return "E-BAKE-11", "1 of 3 expectations are not met: Package puppet is absent (spec/web/page_spec.rb:7)"
		},
		"another page": func(x *tools) (string, string) {
			x.page = "It works!"
			return "E-BAKE-11", "it does not say Hello World"
		},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			id, text := spoil(b.tools)
			o := b.options()
			o.Deadline = 300 * time.Millisecond
			b.target.Factor = 1000
			_, err := b.bake(o)
			f := failure(t, err)
			assert.Equal(t, report.BakeFailed, f.ExitStatus())
			assert.Equal(t, id, f.ID)
			assert.ErrorContains(t, err, text)
			b.onlyLeft()
			assert.Equal(t, template.NotBaked, b.inTemplate())

			// Repaired, the same command succeeds.
			b.tools.refuse, b.tools.page, b.tools.failing = "", "", nil
			r, err := b.bake(b.options())
			require.NoError(t, err)
			b.onlyLeft(r.Image)
		})
	}
}

func TestAKilledBakeGoesOn(t *testing.T) {
	for _, where := range []string{"builder", "image", "inspection"} {
		t.Run(where, func(t *testing.T) {
			b := newBench(t)
			b.tools.stop = where
			assert.PanicsWithValue(t, "killed", func() { _, _ = b.bake(b.options()) })
			b.tools.stop = ""
			r, err := b.bake(b.options())
			require.NoError(t, err)
			assert.Equal(t, where != "builder", r.Adopted)
			if r.Adopted {
				assert.Equal(t, 1, b.tools.builds, "the finished image is used")
			}
			assert.Equal(t, r.Image, b.inTemplate())
			b.onlyLeft(r.Image)
		})
	}
}

func TestAMachineThatLetsNobodyIn(t *testing.T) {
	b := newBench(t)
	b.target.SOCKS = b.lab.SOCKS() // no SSH behind it
	o := b.options()
	o.Deadline = time.Second
	_, err := b.bake(o)
	f := failure(t, err)
	assert.Equal(t, "E-BAKE-11", f.ID)
	assert.ErrorContains(t, err, "nobody can log in")
	b.onlyLeft()
	assert.Equal(t, template.NotBaked, b.inTemplate())
}

// A sum of zeros is one that somebody has to look up first: no machine is started for it.
func TestASumThatNobodyLookedUp(t *testing.T) {
	b := newBench(t)
	zeros := strings.Repeat("0", 64)
	put(t, b.dir, "puppet/data/roles/web.yaml", "---\nci::source: https://example.com/ci.tar.gz\nci::checksum: '"+zeros+"' # soon\n")
	commit(t, b.dir, "a sum to look up")
	_, err := b.bake(b.options())
	f := failure(t, err)
	assert.Equal(t, "E-BAKE-17", f.ID)
	assert.ErrorContains(t, err, "ci::checksum is not known yet")
	assert.Contains(t, f.Next[0], "ci::source")
	b.onlyLeft()
	put(t, b.dir, "puppet/data/roles/web.yaml", "---\nci::checksum: '"+strings.Repeat("a", 64)+"'\n")
	commit(t, b.dir, "it is known")
	_, err = b.bake(b.options())
	require.NoError(t, err)
}

func TestARecipeThatExpectsNothing(t *testing.T) {
	b := newBench(t)
	git(t, b.dir, "mv", "serverspec/spec/web/page_spec.rb", "serverspec/spec/web/page.rb")
	commit(t, b.dir, "no examples")
	_, err := b.bake(b.options())
	f := failure(t, err)
	assert.Equal(t, "E-BAKE-13", f.ID)
	assert.Equal(t, report.Usage, f.ExitStatus())
	b.onlyLeft()
	assert.Zero(t, b.tools.builds)

	// A file that has none is found by its results.
	git(t, b.dir, "mv", "serverspec/spec/web/page.rb", "serverspec/spec/web/page_spec.rb")
	commit(t, b.dir, "an empty one")
	b.tools.elsewhere = true
	_, err = b.bake(b.options())
	assert.Equal(t, "E-BAKE-11", failure(t, err).ID)
	assert.ErrorContains(t, err, "serverspec/spec/web has no example")
	b.onlyLeft()
	assert.Equal(t, template.NotBaked, b.inTemplate())
}

func TestAStoppedBakeTidiesUp(t *testing.T) {
	b := newBench(t)
	b.tools.hold, b.tools.held = make(chan struct{}), make(chan struct{})
	ctx, cancel := context.WithCancel(t.Context())
	go func() { <-b.tools.held; cancel() }()
	_, err := image.Bake(ctx, pipeline.Env{}, b.options())
	require.ErrorIs(t, err, context.Canceled)
	assert.Equal(t, report.Detached, report.Code(err))
	b.onlyLeft()
}

func recipe(t *testing.T, o image.Options) image.Recipe {
	t.Helper()
	r, i, err := image.Current(t.Context(), o)
	require.NoError(t, err)
	require.Nil(t, i)
	return r
}

func TestABakeThatNeverEndsIsToldOf(t *testing.T) {
	b := newBench(t)
	o := b.options()
	r := recipe(t, o)
	_, err := o.Trail.Lock(t.Context(), "image/web/"+r.Key, trail.Holder{What: "bake", Machine: "elsewhere", Host: "ci-7", PID: 7})
	require.NoError(t, err)
	o = b.options()
	o.Patience = 20 * time.Second
	_, err = b.bake(o)
	f := failure(t, err)
	assert.Equal(t, report.Locked, f.ExitStatus())
	assert.Contains(t, err.Error(), "ci-7")
	assert.Contains(t, b.told(), "being baked already")
	assert.Zero(t, b.tools.builds)
}

func TestTwoBakesOfOneKeyMakeOneImage(t *testing.T) {
	b := newBench(t)
	b.tools.hold, b.tools.held = make(chan struct{}), make(chan struct{})
	type end struct {
		r   image.Result
		err error
	}
	first, second := make(chan end), make(chan end)
	one, two := b.options(), b.options()
	go func() {
		r, err := image.Bake(t.Context(), pipeline.Env{}, one)
		first <- end{r, err}
	}()
	<-b.tools.held
	waits := make(chan struct{})
	var once sync.Once
	go func() {
		r, err := image.Bake(t.Context(), pipeline.Env{Tell: func(e pipeline.Event) {
			if strings.Contains(e.Text, "being baked already") {
				once.Do(func() { close(waits) })
			}
		}}, two)
		second <- end{r, err}
	}()
	<-waits
	close(b.tools.hold)
	a, c := <-first, <-second
	require.NoError(t, a.err)
	require.NoError(t, c.err)
	assert.False(t, a.r.Reused)
	assert.True(t, c.r.Reused)
	assert.Equal(t, a.r.Image, c.r.Image)
	assert.Equal(t, 1, b.tools.builds)
	b.onlyLeft(a.r.Image)
}

func TestWhatIsAskedBeforeTheFirstWrite(t *testing.T) {
	b := newBench(t)
	put(t, b.dir, "puppet/page", "not committed\n")
	_, err := b.bake(b.options())
	f := failure(t, err)
	assert.Equal(t, report.Usage, f.ExitStatus())
	assert.Contains(t, f.What, "puppet/page")
	git(t, b.dir, "checkout", "--quiet", "puppet/page")

	o := b.options()
	o.Bake.Name = "debian-99-*"
	_, err = b.bake(o)
	f = failure(t, err)
	assert.Equal(t, report.Usage, f.ExitStatus())
	assert.ErrorContains(t, err, "debian-99-*")
	assert.NotContains(t, b.tools.commands, "packer")
	b.onlyLeft()
}

// TestCallsThatGoWrong lets each call that changes something have its effect
// and lose its answer, or be throttled, and answers from the past.
func TestCallsThatGoWrong(t *testing.T) {
	calls := []string{
		"CreateKeyPair", "CreateSecurityGroup", "AuthorizeSecurityGroupIngress", "RunInstances", "TerminateInstances",
		"DeleteSecurityGroup", "DeleteKeyPair", "CreateTags",
	}
	b := newBench(t)
	var good []string
	for i, kind := range []string{core.FaultLostAnswer, core.FaultThrottle} {
		put(t, b.dir, "puppet/page", "Hello World "+kind+"\n")
		commit(t, b.dir, kind)
		for _, c := range calls {
			_, err := b.lab.Fault(state.Fault{Kind: kind, Match: map[string]string{"service": "ec2", "action": c}, Times: 1})
			require.NoError(t, err)
		}
		r, err := b.bake(b.options())
		require.NoError(t, err)
		good = append(good, r.Image)
		b.onlyLeft(good...)
		assert.Equal(t, 1, r.Attempt)
		assert.Equal(t, i+1, b.tools.builds)
	}
	for _, c := range []string{"DescribeInstances", "DescribeImages", "DescribeSecurityGroups", "DescribeKeyPairs", "DescribeSnapshots"} {
		_, err := b.lab.Fault(state.Fault{Kind: core.FaultStale, Match: map[string]string{"service": "ec2", "action": c}, Times: 2})
		require.NoError(t, err)
	}
	put(t, b.dir, "puppet/page", "Hello World, stale\n")
	commit(t, b.dir, "stale")
	r, err := b.bake(b.options())
	require.NoError(t, err)
	b.onlyLeft(append(good, r.Image)...)
}
