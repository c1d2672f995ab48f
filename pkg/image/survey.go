package image

import (
	"context"
	"strconv"
	"time"
)

// Survey is what a machine has on it that was there before since, as Inspect and
// Compare see it. ask runs a command line on the machine as a user with sudo and
// returns what it wrote to stdout. The zero since leaves nothing out.
func Survey(ctx context.Context, ask func(ctx context.Context, command string) (string, error), since time.Time) (Inventory, error) {
	unix := int64(1) << 40
	if !since.IsZero() {
		unix = since.Unix()
	}
	s, err := take(ctx, ask, strconv.FormatInt(unix, 10))
	if err != nil {
		return Inventory{}, err
	}
	return s.Inventory, nil
}
