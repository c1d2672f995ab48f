package docker_test

import (
	"bytes"
	"context"
	"strings"
	"testing"
	"time"

	"github.com/moby/moby/api/pkg/stdcopy"
	"github.com/moby/moby/client"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/build-deploy-chain/chain/pkg/lab/base"
	labs "github.com/build-deploy-chain/chain/pkg/lab/client"
	"github.com/build-deploy-chain/chain/pkg/lab/runtime"
	"github.com/build-deploy-chain/chain/pkg/lab/runtime/docker"
)

// A database keeps what it was given, a snapshot of the running one carries it
// away, and other machines find it by its name.
func TestDatabase(t *testing.T) {
	api := engine(t)
	var lab string
	r, again := open(t, func(o *docker.Options) {
		lab = o.Lab
		o.Database = func(ctx context.Context) (string, error) {
			begin := time.Now()
			ref, err := base.Database(ctx, base.Options{Engine: api, Cache: labs.Cache()}, o.Base)
			t.Logf("database image %s ready in %s", ref, time.Since(begin).Round(time.Millisecond))
			return ref, err
		}
	})
	// ask is what PostgreSQL's own client, in the machine of another database, is answered.
	ask := func(from, host, port, password, sql string) string {
		t.Helper()
		e, err := api.ExecCreate(t.Context(), "chain-lab-"+lab+"-"+from, client.ExecCreateOptions{
			AttachStdout: true, AttachStderr: true, Env: []string{"PGPASSWORD=" + password},
			Cmd: []string{"psql", "-q", "-t", "-A", "-h", host, "-p", port, "-U", "chain", "-d", "hello", "-c", sql},
		})
		require.NoError(t, err)
		a, err := api.ExecAttach(t.Context(), e.ID, client.ExecAttachOptions{})
		require.NoError(t, err)
		defer a.Close()
		var b bytes.Buffer
		_, err = stdcopy.StdCopy(&b, &b, a.Reader)
		require.NoError(t, err)
		return strings.TrimSpace(b.String())
	}
	start := func(r *docker.Runtime, id, image, host, password string, port int) {
		t.Helper()
		begin := time.Now()
		_, err := r.Start(t.Context(), runtime.Spec{ID: id, Image: image, Hostname: id, Database: &runtime.DatabaseSpec{
			Port: port, User: "chain", Password: password, Name: "hello", Names: []string{host},
		}})
		require.NoError(t, err)
		t.Logf("%s started from %s in %s", id, image, time.Since(begin).Round(time.Millisecond))
	}
	const main, copied = "main.c1.eu-west-1.rds.amazonaws.com", "copy.c1.eu-west-1.rds.amazonaws.com"
	start(r, "db-1", runtime.Database, main, `it's "one"`, 5432)
	c, err := r.Dial(t.Context(), "db-1", 5432)
	require.NoError(t, err)
	require.NoError(t, c.Close())
	assert.Empty(t, ask("db-1", main, "5432", `it's "one"`, "create table orders (n int); insert into orders values (1)"))
	require.NoError(t, r.Save(t.Context(), "db-1", "rds-1"))
	assert.Empty(t, ask("db-1", main, "5432", `it's "one"`, "insert into orders values (2)"))

	start(r, "db-2", "rds-1", copied, "two", 6000)
	assert.Equal(t, "1", ask("db-1", copied, "6000", "two", "select sum(n) from orders"), "what was there when it was saved")
	assert.Equal(t, "3", ask("db-2", main, "5432", `it's "one"`, "select sum(n) from orders"))
	start(r, "db-1", runtime.Database, main, "three", 5432)
	assert.Contains(t, ask("db-2", main, "5432", `it's "one"`, "select 1"), "password authentication failed")

	r = again(t) // the lab was started anew, and the machine stopped meanwhile
	require.NoError(t, r.Stop(t.Context(), "db-1"))
	start(r, "db-1", runtime.Database, main, "three", 5432)
	assert.Equal(t, "3", ask("db-2", main, "5432", "three", "select sum(n) from orders"))
}
