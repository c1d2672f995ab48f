// Package story_test tells the first story of the chain from outside, in
// sequence, on one lab of its own with real machines: a fresh clone brings up
// production, updates it under traffic, has nothing to do a third time, stops
// what is bad where it should be stopped, and goes on after SIGKILL.
//
// It takes minutes and needs Docker, so it runs only with CHAIN_STORY=1, as
// `./station.sh check` sets it.
package story_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const page = "http://www.hello.example/"

func TestStory(t *testing.T) {
	if os.Getenv("CHAIN_STORY") == "" {
		t.Skip("the story needs Docker and minutes: CHAIN_STORY=1 go test ./test/story")
	}
	s := newStation(t)

	ok := t.Run("1 a fresh clone brings up production", func(t *testing.T) {
		before := s.repository(t)
		r := s.run(t, "release")
		require.Equal(t, 0, r.code, r.tail())
		assert.LessOrEqual(t, len(r.summary()), 12, "the summary is at most 12 lines:\n%s", strings.Join(r.summary(), "\n"))
		body, err := s.get(page)
		require.NoError(t, err)
		assert.Contains(t, body, "Hello World")
		assert.Equal(t, before, s.repository(t), "the user's clone is as it was: branches, tags, status, configuration")
		curl := s.command("curl", "-sS", "--max-time", "10", "-x", "socks5h://"+s.lab(t).Socks, page)
		out, err := curl.CombinedOutput()
		require.NoError(t, err, string(out))
		assert.Contains(t, string(out), "Hello World")
		s.writeDownBaked(t)
	})
	if !ok {
		t.FailNow()
	}

	ok = t.Run("2 a changed page is baked, rehearsed and rolled out under traffic, through SIGKILLs", func(t *testing.T) {
		s.edit(t, "<h1>Hello World</h1>", "<h1>Hello World, again</h1>")
		s.commit(t, "puppet: greet again")
		client := s.browse(t, page)

		// Killed while Packer works, while the test stack is updated, and in the
		// middle of production's roll; then the very same command each time.
		s.killAt(t, "bake", "release")
		s.killAt(t, "rehearse", "release")
		s.killAt(t, "roll", "release")
		r := s.run(t, "release")
		require.Equal(t, 0, r.code, r.tail())

		seen := client.stop()
		assert.Empty(t, seen.failures, "%d requests", seen.requests)
		assert.Greater(t, seen.requests, 100)
		body, err := s.get(page)
		require.NoError(t, err)
		assert.Contains(t, body, "Hello World, again")
		assert.Equal(t, 2, s.releases(t), "the three kills made no release of their own")
		assert.Empty(t, s.leftBehind(t), "nothing of the rehearsals and bakes is left")
	})
	if !ok {
		t.FailNow()
	}

	t.Run("3 nothing changed, nothing done", func(t *testing.T) {
		images := s.images(t)
		r := s.run(t, "release")
		require.Equal(t, 0, r.code, r.tail())
		assert.Contains(t, strings.ToLower(r.out), "nothing to do")
		assert.Equal(t, images, s.images(t))
		assert.Equal(t, 2, s.releases(t))
		t.Logf("an unchanged release took %s", r.took.Round(10*time.Millisecond))
	})

	t.Run("4 what is bad is stopped where it should be", func(t *testing.T) {
		good := s.head(t)
		client := s.browse(t, page)
		template := s.trailTemplate(t)
		images := s.images(t)

		t.Run("a page that answers 500: the bake refuses it", func(t *testing.T) {
			// A RewriteRule without a target that exists is a 500 for every request.
			s.editFile(t, webProfile, "GracefulShutdownTimeout ${drain_seconds}\\n", "GracefulShutdownTimeout ${drain_seconds}\\nRedirectMatch 500 .*\\n")
			s.commit(t, "puppet: break the page")
			r := s.run(t, "release")
			assert.Equal(t, 4, r.code, r.tail())
			assert.Equal(t, images, s.images(t), "no image is left")
			assert.Equal(t, template, s.trailTemplate(t), "the template is unchanged")
			s.reset(t, good)
		})

		s.edit(t, "<h1>Hello World, again</h1>", "<h1>Hello World, once more</h1>")
		s.commit(t, "puppet: greet once more")

		t.Run("machines of the test stack fail: the rehearsal fails", func(t *testing.T) {
			s.fault(t, `{"Kind":"machine","Match":{"stack":"web-test-*","version":"2"},"Args":{"broken":"true"},"Times":-1}`)
			r := s.run(t, "release")
			assert.Equal(t, 6, r.code, r.tail())
			assert.Empty(t, s.leftBehind(t), "the test stack is gone")
			s.clearFaults(t)
		})

		t.Run("the same fault in production only: rolled back", func(t *testing.T) {
			s.fault(t, `{"Kind":"machine","Match":{"stack":"web-production"},"Args":{"broken":"true"},"Times":-1}`)
			r := s.run(t, "release")
			assert.Equal(t, 7, r.code, r.tail())
			s.clearFaults(t)
			body, err := s.get(page)
			require.NoError(t, err)
			assert.Contains(t, body, "Hello World, again")
		})

		seen := client.stop()
		assert.Empty(t, seen.failures, "production answered throughout, %d requests", seen.requests)
	})

	t.Run("5 the lab itself is killed in the middle of an update", func(t *testing.T) {
		p := s.start(t, "release")
		p.await(t, "roll")
		s.killLab(t)
		r := p.wait()
		if r.code != 0 {
			r = s.run(t, "release")
		}
		require.Equal(t, 0, r.code, r.tail())
		body, err := s.get(page)
		require.NoError(t, err)
		assert.Contains(t, body, "Hello World, once more")
	})

	t.Run("6 lab:down leaves nothing", func(t *testing.T) {
		r := s.run(t, "lab:down")
		require.Equal(t, 0, r.code, r.tail())
		assert.Empty(t, s.labelled(t))
		_, err := os.Stat(filepath.Join(s.labDir, "lab.json"))
		assert.ErrorIs(t, err, os.ErrNotExist)
	})
}
