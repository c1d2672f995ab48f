package docker_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/build-deploy-chain/chain/pkg/lab/runtime"
)

// A volume is a block device; what is on it outlives the machine it was at.
func TestVolumeOutlivesItsMachine(t *testing.T) {
	r, _ := open(t, nil)
	key, line := newKey(t)
	volume := runtime.VolumeSpec{ID: "vol-1", Device: "/dev/sdf", GiB: 1}
	start := func(id string, volumes ...runtime.VolumeSpec) {
		t.Helper()
		_, err := r.Start(t.Context(), runtime.Spec{ID: id, Image: runtime.Base, Keys: []string{line}, Volumes: volumes})
		require.NoError(t, err)
	}
	const mount = "sudo -n mkdir -p /data && sudo -n mount /dev/xvdf /data && cat /data/orders"
	start("i-1", volume)
	login(t, r, "i-1", key, "sudo -n /usr/sbin/mkfs.ext4 -q /dev/sdf && sudo -n mkdir /data && sudo -n mount /dev/sdf /data && echo one | sudo -n tee /data/orders && sync")
	require.NoError(t, r.Stop(t.Context(), "i-1"))
	start("i-1", volume)
	assert.Equal(t, "one", login(t, r, "i-1", key, mount), "it is there again after a boot")

	require.NoError(t, r.Remove(t.Context(), "i-1"))
	start("i-2")
	require.NoError(t, r.Attach(t.Context(), "i-2", volume))
	assert.Equal(t, "one", login(t, r, "i-2", key, mount))
	require.NoError(t, r.Detach(t.Context(), "i-2", volume))
	assert.Equal(t, "gone", login(t, r, "i-2", key, "test -e /dev/sdf || test -e /data/orders || echo gone"))
	volume.GiB = 2
	require.NoError(t, r.Attach(t.Context(), "i-2", volume), "larger")
	assert.Equal(t, "2147483648", login(t, r, "i-2", key, "sudo -n /usr/sbin/blockdev --getsize64 /dev/sdf"))
	require.NoError(t, r.Detach(t.Context(), "i-2", volume))
	require.NoError(t, r.RemoveVolume(t.Context(), "vol-1"))
	require.NoError(t, r.RemoveVolume(t.Context(), "vol-1"), "an unknown one is no error")
}
