package main_test

import (
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/net/proxy"

	"github.com/build-deploy-chain/chain/pkg/lab/client"
	"github.com/build-deploy-chain/chain/pkg/lab/runtime/docker"
)

// ec2 calls an action of the lab, as the simplest of all clients.
func ec2(t testing.TB, l *client.Lab, action string, args ...string) map[string]string {
	t.Helper()
	form := url.Values{"Action": {action}, "Version": {"2016-11-15"}}
	for i := 0; i < len(args); i += 2 {
		form.Set(args[i], args[i+1])
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+l.API+"/", strings.NewReader(form.Encode()))
	require.NoError(t, err)
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential=AKIALAB0000000000000/20260101/eu-west-1/ec2/aws4_request, SignedHeaders=host, Signature=0")
	res, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	require.NoError(t, err)
	require.Equal(t, http.StatusOK, res.StatusCode, "%s: %s", action, b)
	return leaves(t, b)
}

// leaves are the last values of each element of an answer that holds text; names
// of nested ones are joined by dots, without those of lists.
func leaves(t testing.TB, b []byte) map[string]string {
	t.Helper()
	found := map[string]string{}
	var path []string
	for d := xml.NewDecoder(strings.NewReader(string(b))); ; {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			return found
		}
		require.NoError(t, err)
		switch e := token.(type) {
		case xml.StartElement:
			path = append(path, e.Name.Local)
		case xml.EndElement:
			path = path[:len(path)-1]
		case xml.CharData:
			if s := strings.TrimSpace(string(e)); s != "" {
				found[path[len(path)-1]] = s
				if len(path) > 1 {
					found[path[len(path)-2]+"."+path[len(path)-1]] = s
				}
			}
		}
	}
}

func up(t testing.TB, o client.Options) *client.Lab {
	t.Helper()
	begin := time.Now()
	l, err := client.Start(t.Context(), o)
	require.NoError(t, err)
	t.Logf("lab up after %s", time.Since(begin).Round(time.Millisecond))
	return l
}

// banner is what a machine says first on port 22, "" if it says nothing.
func banner(t testing.TB, l *client.Lab, addr string) string {
	t.Helper()
	d, err := proxy.SOCKS5("tcp", l.SOCKS, nil, nil)
	require.NoError(t, err)
	c, err := d.Dial("tcp", net.JoinHostPort(addr, "22"))
	if err != nil {
		return ""
	}
	defer c.Close()
	require.NoError(t, c.SetDeadline(time.Now().Add(10*time.Second)))
	b := make([]byte, 8)
	n, _ := io.ReadFull(c, b) // what came is compared
	return string(b[:n])
}

// A lab on Docker that is killed with a machine running has it again, running
// all the time; one that is taken down leaves nothing.
func TestKilledWithMachine(t *testing.T) {
	api, err := docker.Connect(t.Context(), "")
	if err != nil && os.Getenv("CI") != "true" {
		t.Skip(err)
	}
	require.NoError(t, err)
	defer api.Close()
	o := client.Options{
		Dir: filepath.Join(t.TempDir(), "chain", "lab"), API: "127.0.0.1:0", SOCKS: "127.0.0.1:0",
		Progress: func(s string) { t.Log(s) },
	}
	t.Cleanup(func() { assert.NoError(t, client.Down(context.WithoutCancel(t.Context()), o)) })
	l := up(t, o)

	image := ec2(t, l, "DescribeImages", "Owner.1", "136693071363")["imageId"]
	require.NotEmpty(t, image)
	group := ec2(t, l, "CreateSecurityGroup", "GroupName", "open", "GroupDescription", "ssh")["groupId"]
	ec2(t, l, "AuthorizeSecurityGroupIngress", "GroupId", group, "IpPermissions.1.IpProtocol", "tcp",
		"IpPermissions.1.FromPort", "22", "IpPermissions.1.ToPort", "22", "IpPermissions.1.IpRanges.1.CidrIp", "0.0.0.0/0")
	begin := time.Now()
	id := ec2(t, l, "RunInstances", "ImageId", image, "InstanceType", "t3.micro", "MinCount", "1", "MaxCount", "1", "SecurityGroupId.1", group)["instanceId"]
	require.NotEmpty(t, id)
	var addr string
	state := func() bool {
		got := ec2(t, l, "DescribeInstances", "InstanceId.1", id)
		addr = got["ipAddress"]
		return got["instanceState.name"] == "running"
	}
	require.Eventually(t, state, time.Minute, 50*time.Millisecond)
	t.Logf("instance running after %s", time.Since(begin).Round(time.Millisecond))
	assert.Equal(t, "SSH-2.0-", banner(t, l, addr))
	started := containerStart(t, id)

	for _, end := range []string{"SIGKILL", "lab:stop"} {
		if end == "SIGKILL" {
			require.NoError(t, syscall.Kill(l.PID, syscall.SIGKILL))
		} else {
			require.NoError(t, client.Stop(t.Context(), o.Dir))
		}
		before := l.PID
		l = up(t, o)
		assert.NotEqual(t, before, l.PID)
		assert.True(t, state(), end)
		assert.Equal(t, "SSH-2.0-", banner(t, l, addr), end)
		assert.Equal(t, started, containerStart(t, id), "it did not boot again after %s", end)
	}

	// The engine stopped it while the lab was away, as at a reboot of the host.
	require.NoError(t, client.Stop(t.Context(), o.Dir))
	out, err := exec.Command("docker", "stop", container(t, id)).CombinedOutput()
	require.NoError(t, err, "%s", out)
	l = up(t, o)
	require.Eventually(t, func() bool { return state() && banner(t, l, addr) == "SSH-2.0-" }, time.Minute, 100*time.Millisecond)
	assert.NotEqual(t, started, containerStart(t, id), "it was booted again")

	pid := l.PID
	require.NoError(t, client.Down(t.Context(), o))
	left, err := docker.Left(t.Context(), api, l.ID)
	require.NoError(t, err)
	assert.Empty(t, left)
	assert.NoDirExists(t, o.Dir)
	assert.ErrorIs(t, syscall.Kill(pid, 0), syscall.ESRCH)
}

func container(t *testing.T, instance string) string {
	t.Helper()
	out, err := exec.Command("docker", "ps", "-aq", "--filter", "label=chain.lab.machine="+instance).Output()
	require.NoError(t, err)
	require.Len(t, strings.Fields(string(out)), 1)
	return strings.TrimSpace(string(out))
}

func containerStart(t *testing.T, instance string) string {
	t.Helper()
	out, err := exec.Command("docker", "inspect", "-f", "{{.State.StartedAt}}", container(t, instance)).Output()
	require.NoError(t, err)
	return strings.TrimSpace(string(out))
}

func TestUsage(t *testing.T) {
	file := filepath.Join(t.TempDir(), "lab")
	out, err := exec.Command("go", "build", "-o", file, ".").CombinedOutput()
	require.NoError(t, err, "%s", out)
	for args, want := range map[string]string{
		"":                              "-dir and -id are needed",
		"-dir x -id y -factor -1":       "not above 0",
		"-dir x -id y -runtime clay":    "not docker or memory",
		"-dir x -id y stray":            "stray",
		"-dir x -id NO -runtime docker": "no lab id",
		"-dir x -id y -runtime memory -keys none": "read the access keys: open none",
		"-dir x -id y -host unix:///none":         "no Docker engine answers at unix:///none",
	} {
		cmd := exec.Command(file, strings.Fields(args)...)
		cmd.Dir = t.TempDir()
		out, err := cmd.CombinedOutput()
		require.Error(t, err, args)
		assert.Equal(t, 1, cmd.ProcessState.ExitCode(), args)
		assert.Contains(t, string(out), want, fmt.Sprintf("lab %s", args))
	}
}
