package core

import (
	"encoding/base64"
	"strconv"
	"strings"

	"github.com/build-deploy-chain/chain/pkg/lab/wire"
)

// Page cuts one page out of a listing: what comes after token ("" is the
// start), at most size items (0 means all). It also returns the token of the
// page after it, "" behind the last one.
func Page[T any](all []T, token string, size int64) ([]T, string, error) {
	from := 0
	if token != "" {
		raw, err := base64.RawURLEncoding.DecodeString(token)
		n, isPage := strings.CutPrefix(string(raw), "after:")
		if err == nil && isPage {
			from, err = strconv.Atoi(n)
		}
		if err != nil || !isPage || from < 0 {
			return nil, "", wire.Errorf("ValidationError", "The token '%s' is invalid.", token)
		}
	}
	from = min(from, len(all))
	if size <= 0 || from+int(size) >= len(all) {
		return all[from:], "", nil
	}
	to := from + int(size)
	return all[from:to], base64.RawURLEncoding.EncodeToString([]byte("after:" + strconv.Itoa(to))), nil
}
