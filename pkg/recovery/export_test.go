package recovery

import (
	"time"

	"github.com/build-deploy-chain/chain/pkg/database"
)

// Outdated says which snapshots of these ages need not be kept.
func Outdated(now time.Time, keep int, ages ...string) []string {
	var list []database.Snapshot
	for _, a := range ages {
		d, _ := time.ParseDuration(a)
		list = append(list, database.Snapshot{ID: a, Created: now.Add(-d)})
	}
	var out []string
	for _, s := range outdated(list, now, keep) {
		out = append(out, s.ID)
	}
	return out
}
