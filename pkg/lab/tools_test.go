package lab_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/build-deploy-chain/chain/pkg/lab"
	"github.com/build-deploy-chain/chain/pkg/lab/core"
)

// tool finds a program. At home a missing one skips the test, in CI it fails it.
func tool(t *testing.T, name string, places ...string) string {
	t.Helper()
	if p, err := exec.LookPath(name); err == nil {
		return p
	}
	for _, glob := range places {
		if found, _ := filepath.Glob(glob); len(found) > 0 {
			return found[0]
		}
	}
	if os.Getenv("CI") == "true" {
		t.Fatalf("%s is not here, and CI must have it", name)
	}
	t.Skipf("%s is not here", name)
	return ""
}

// The real Packer builds an image without logging in.
func TestPackerBuilds(t *testing.T) {
	cache, err := os.UserCacheDir()
	require.NoError(t, err)
	packer := tool(t, "packer", filepath.Join(cache, "chain/packer/*/bin/packer"))
	l := lab.Start(t)
	dir := t.TempDir()
	hcl := `
source "amazon-ebs" "web" {
  region                  = "eu-west-1"
  custom_endpoint_ec2     = "` + l.Endpoint() + `"
  source_ami_filter {
    filters     = { name = "debian-12-amd64-*", root-device-type = "ebs", virtualization-type = "hvm", architecture = "x86_64" }
    owners      = ["136693071363"]
    most_recent = true
  }
  instance_type           = "t3.micro"
  ami_name                = "web-packer"
  ami_description         = "made by a test"
  ami_users               = ["222222222222"]
  communicator            = "none"
  temporary_key_pair_type = "ed25519"
  imds_support            = "v2.0"
  metadata_options {
    http_endpoint               = "enabled"
    http_tokens                 = "required"
    http_put_response_hop_limit = 1
  }
  launch_block_device_mappings {
    device_name           = "/dev/xvda"
    volume_size           = 8
    volume_type           = "gp3"
    encrypted             = true
    delete_on_termination = true
  }
  deprecate_at  = "` + tomorrow() + `"
  tags          = { role = "web", key = "k1" }
  snapshot_tags = { role = "web" }
  run_tags      = { role = "web", building = "true" }
  run_volume_tags = { role = "web" }
  aws_polling {
    delay_seconds = 1
    max_attempts  = 60
  }
}
build {
  sources = ["source.amazon-ebs.web"]
  post-processor "manifest" { output = "` + dir + `/manifest.json" }
}
`
	file := filepath.Join(dir, "web.pkr.hcl")
	require.NoError(t, os.WriteFile(file, []byte(hcl), 0o600))
	cmd := exec.Command(packer, "build", "-color=false", file)
	cmd.Env = append(os.Environ(), "AWS_ACCESS_KEY_ID=test", "AWS_SECRET_ACCESS_KEY=test", "CHECKPOINT_DISABLE=1",
		"PACKER_CONFIG_DIR="+dir, "AWS_EC2_METADATA_DISABLED=true", "NO_PROXY=127.0.0.1")
	if os.Getenv("PACKER_PLUGIN_PATH") == "" {
		cmd.Env = append(cmd.Env, "PACKER_PLUGIN_PATH="+filepath.Join(filepath.Dir(filepath.Dir(packer)), "plugins"))
	}
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s\ncalls: %v", out, l.Calls())

	var manifest struct {
		Builds []struct {
			ArtifactID string `json:"artifact_id"`
		}
	}
	b, err := os.ReadFile(filepath.Join(dir, "manifest.json"))
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(b, &manifest))
	id := strings.TrimPrefix(manifest.Builds[0].ArtifactID, "eu-west-1:")
	l.Core().View(region, func(tx *core.Tx) {
		img := tx.Region.Images[id]
		require.NotNil(t, img)
		assert.Equal(t, "available", img.State)
		assert.Equal(t, "made by a test", img.Description)
		assert.Equal(t, map[string]string{"role": "web", "key": "k1", "building": "true"}, map[string]string(img.Tags))
		assert.Equal(t, []string{"222222222222"}, img.LaunchUsers)
		assert.False(t, img.DeprecateAt.IsZero())
		assert.True(t, img.Encrypted)
		require.NotNil(t, tx.Region.Snapshots[img.SnapshotID])
		assert.Equal(t, "web", tx.Region.Snapshots[img.SnapshotID].Tags["role"])
		for _, i := range tx.Region.Instances {
			assert.Equal(t, "terminated", i.State)
		}
		assert.Empty(t, tx.Region.KeyPairs)
		for _, g := range tx.Region.SecurityGroups {
			assert.Equal(t, "default", g.Name)
		}
	})
}

func tomorrow() string { return time.Now().UTC().Add(24 * time.Hour).Format(time.RFC3339) }

// The aws CLI, which speaks to each service in a way of its own choice.
func TestCommandLine(t *testing.T) {
	aws := tool(t, "aws")
	l := lab.Start(t)
	run := func(args ...string) (string, error) {
		cmd := exec.Command(aws, args...)
		cmd.Env = append(os.Environ(), "AWS_ENDPOINT_URL="+l.Endpoint(), "AWS_ACCESS_KEY_ID=test", "AWS_SECRET_ACCESS_KEY=test", "AWS_DEFAULT_REGION="+region,
			"AWS_REGION="+region, "AWS_PAGER=", "AWS_EC2_METADATA_DISABLED=true", "HOME="+t.TempDir(), "NO_PROXY=127.0.0.1", "AWS_MAX_ATTEMPTS=1")
		out, err := cmd.CombinedOutput()
		return strings.TrimSpace(string(out)), err
	}
	for _, c := range []struct{ want, args string }{
		{lab.Account, "sts get-caller-identity --query Account --output text"},
		{l.BaseImage(region), "ec2 describe-images --owners 136693071363 --query Images[].ImageId --output text"},
		{"172.31.0.0/16", "ec2 describe-vpcs --query Vpcs[].CidrBlock --output text"},
		{"0", "cloudwatch describe-alarms --query length(MetricAlarms) --output text"},
		{"hello.example.", "route53 list-hosted-zones --query HostedZones[].Name --output text"},
		{"1", "ssm put-parameter --name /x --type String --value y --query Version --output text"},
		{"y", "ssm get-parameter --name /x --query Parameter.Value --output text"},
	} {
		got, err := run(strings.Fields(c.args)...)
		if assert.NoError(t, err, "%s\n%s", c.args, got) {
			assert.Equal(t, c.want, got, c.args)
		}
	}
	got, err := run("ec2", "describe-images", "--image-ids", "ami-00000000000000000")
	require.Error(t, err)
	assert.Contains(t, got, "(InvalidAMIID.NotFound) when calling the DescribeImages operation: The image id '[ami-00000000000000000]' does not exist")
	got, err = run("ec2", "describe-spot-price-history")
	require.Error(t, err)
	assert.Contains(t, got, "The lab does not have the action ec2.DescribeSpotPriceHistory")
}
