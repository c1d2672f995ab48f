package ec2_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/build-deploy-chain/chain/pkg/lab"
	"github.com/build-deploy-chain/chain/pkg/lab/runtime"
	"github.com/build-deploy-chain/chain/pkg/lab/runtime/memory"
)

// slow is a runtime whose calls can be held back, or made to fail.
type slow struct {
	*memory.Runtime
	mu   sync.Mutex
	hold map[string]chan struct{} // by method
	fail map[string]error         // once
	log  []string
}

func newSlow(t *testing.T) *slow {
	m, err := memory.New(memory.Options{})
	require.NoError(t, err)
	t.Cleanup(func() { _ = m.Close() })
	return &slow{Runtime: m, hold: map[string]chan struct{}{}, fail: map[string]error{}}
}

func (s *slow) enter(ctx context.Context, method string) error {
	s.mu.Lock()
	hold, err := s.hold[method], s.fail[method]
	delete(s.fail, method)
	s.log = append(s.log, method)
	s.mu.Unlock()
	if err != nil || hold == nil {
		return err
	}
	select {
	case <-hold:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (s *slow) set(method string, c chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.hold[method] = c
}

func (s *slow) failOnce(method string, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fail[method] = err
}

func (s *slow) called(method string) (n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, m := range s.log {
		if m == method {
			n++
		}
	}
	return n
}

func (s *slow) Start(ctx context.Context, spec runtime.Spec) (runtime.Status, error) {
	if err := s.enter(ctx, "Start"); err != nil {
		return runtime.Status{}, err
	}
	return s.Runtime.Start(ctx, spec)
}

func (s *slow) Save(ctx context.Context, id, ref string) error {
	if err := s.enter(ctx, "Save"); err != nil {
		return err
	}
	return s.Runtime.Save(ctx, id, ref)
}

func (s *slow) Remove(ctx context.Context, id string) error {
	if err := s.enter(ctx, "Remove"); err != nil {
		return err
	}
	return s.Runtime.Remove(ctx, id)
}

func awaitImage(t *testing.T, c *ec2.Client, id *string, want types.ImageState) types.Image {
	t.Helper()
	var img types.Image
	require.Eventually(t, func() bool {
		out, err := c.DescribeImages(context.Background(), &ec2.DescribeImagesInput{ImageIds: []string{*id}})
		require.NoError(t, err)
		img = out.Images[0]
		return img.State == want
	}, 5*time.Second, 5*time.Millisecond)
	return img
}

// The disk is saved before the machine goes, whatever is asked for meanwhile,
// and also if the lab dies in between.
func TestSaveBeforeRemoval(t *testing.T) {
	machines := newSlow(t)
	dir := t.TempDir()
	start := func() (*lab.Lab, *ec2.Client) {
		l := lab.Start(t, func(o *lab.Options) { o.Dir, o.Runtime = dir, machines })
		return l, client(l, region)
	}
	l, c := start()
	ctx := context.Background()
	i := run(t, c, l.BaseImage(region))
	await(t, c, *i.InstanceId, types.InstanceStateNameRunning)
	hold := make(chan struct{})
	machines.set("Save", hold)
	img, err := c.CreateImage(ctx, &ec2.CreateImageInput{InstanceId: i.InstanceId, Name: aws.String("web-1")})
	require.NoError(t, err)
	_, err = c.TerminateInstances(ctx, &ec2.TerminateInstancesInput{InstanceIds: []string{*i.InstanceId}})
	require.NoError(t, err)
	require.Eventually(t, func() bool { return machines.called("Save") == 1 }, 5*time.Second, time.Millisecond)
	assert.Zero(t, machines.called("Remove"))
	require.NoError(t, l.Close())

	_, c = start()
	require.Eventually(t, func() bool { return machines.called("Save") == 2 }, 5*time.Second, time.Millisecond, "it is asked for again")
	assert.Zero(t, machines.called("Remove"))
	close(hold)
	awaitImage(t, c, img.ImageId, types.ImageStateAvailable)
	await(t, c, *i.InstanceId, types.InstanceStateNameTerminated)
}

// A running instance is rebooted for its image and goes on running.
func TestImageOfARunningInstance(t *testing.T) {
	l := lab.Start(t)
	c := client(l, region)
	ctx := context.Background()
	i := run(t, c, l.BaseImage(region))
	await(t, c, *i.InstanceId, types.InstanceStateNameRunning)
	_, err := c.CreateImage(ctx, &ec2.CreateImageInput{InstanceId: i.InstanceId, Name: aws.String("web-1"), NoReboot: aws.Bool(true)})
	assert.Equal(t, "UnsupportedOperation", code(err), "rather than an image of a disk in use")
	img, err := c.CreateImage(ctx, &ec2.CreateImageInput{InstanceId: i.InstanceId, Name: aws.String("web-1")})
	require.NoError(t, err)
	awaitImage(t, c, img.ImageId, types.ImageStateAvailable)
	await(t, c, *i.InstanceId, types.InstanceStateNameRunning)
	list, err := l.Memory().List(ctx)
	require.NoError(t, err)
	assert.Equal(t, runtime.Running, list[0].State)
}

func TestDiskFullWhileSaving(t *testing.T) {
	machines := newSlow(t)
	l := lab.Start(t, func(o *lab.Options) { o.Runtime = machines })
	c := client(l, region)
	ctx := context.Background()
	i := run(t, c, l.BaseImage(region))
	await(t, c, *i.InstanceId, types.InstanceStateNameRunning)
	machines.failOnce("Save", errors.New("no space left on device"))
	img, err := c.CreateImage(ctx, &ec2.CreateImageInput{InstanceId: i.InstanceId, Name: aws.String("web-1")})
	require.NoError(t, err)
	got := awaitImage(t, c, img.ImageId, types.ImageStateFailed)
	assert.Contains(t, *got.StateReason.Message, "no space left on device")
	_, err = c.DeregisterImage(ctx, &ec2.DeregisterImageInput{ImageId: img.ImageId, DeleteAssociatedSnapshots: aws.Bool(true)})
	require.NoError(t, err)
}

func TestBootThatFails(t *testing.T) {
	machines := newSlow(t)
	l := lab.Start(t, func(o *lab.Options) { o.Runtime = machines })
	c := client(l, region)
	machines.failOnce("Start", errors.New("the engine is away"))
	i := run(t, c, l.BaseImage(region))
	got := await(t, c, *i.InstanceId, types.InstanceStateNameTerminated)
	assert.Equal(t, "Server.InternalError", *got.StateReason.Code)
	assert.Contains(t, *got.StateReason.Message, "the engine is away")
}

func TestTerminateWhileBooting(t *testing.T) {
	machines := newSlow(t)
	l := lab.Start(t, func(o *lab.Options) { o.Runtime = machines })
	c := client(l, region)
	machines.set("Start", make(chan struct{}))
	i := run(t, c, l.BaseImage(region))
	require.Eventually(t, func() bool { return machines.called("Start") == 1 }, 5*time.Second, time.Millisecond)
	_, err := c.TerminateInstances(context.Background(), &ec2.TerminateInstancesInput{InstanceIds: []string{*i.InstanceId}})
	require.NoError(t, err)
	await(t, c, *i.InstanceId, types.InstanceStateNameTerminated)
}

func TestRemovalIsTriedAgain(t *testing.T) {
	machines := newSlow(t)
	l := lab.Start(t, func(o *lab.Options) { o.Runtime = machines })
	c := client(l, region)
	i := run(t, c, l.BaseImage(region))
	await(t, c, *i.InstanceId, types.InstanceStateNameRunning)
	machines.failOnce("Remove", errors.New("the engine is away"))
	_, err := c.TerminateInstances(context.Background(), &ec2.TerminateInstancesInput{InstanceIds: []string{*i.InstanceId}})
	require.NoError(t, err)
	await(t, c, *i.InstanceId, types.InstanceStateNameTerminated)
	assert.Equal(t, 2, machines.called("Remove"))
	list, err := machines.List(context.Background())
	require.NoError(t, err)
	assert.Empty(t, list)
}

// A terminated instance can be described for a while, then it is gone.
func TestTerminatedIsForgotten(t *testing.T) {
	l := lab.Start(t, func(o *lab.Options) { o.Factor = 20_000 })
	c := client(l, region)
	ctx := context.Background()
	i := run(t, c, l.BaseImage(region))
	_, err := c.TerminateInstances(ctx, &ec2.TerminateInstancesInput{InstanceIds: []string{*i.InstanceId}})
	require.NoError(t, err)
	require.Eventually(t, func() bool {
		_, err := c.DescribeInstances(ctx, &ec2.DescribeInstancesInput{InstanceIds: []string{*i.InstanceId}})
		return code(err) == "InvalidInstanceID.NotFound"
	}, 5*time.Second, 5*time.Millisecond)
}
