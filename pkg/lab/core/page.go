package core

import (
	"encoding/base64"
	"fmt"
	"strconv"
	"strings"
)

// PageError is a token or size of a page that cannot be; each service words it in its own way.
type PageError struct {
	Token string // "" if it is the size
	Size  int64
}

func (e *PageError) Error() string {
	if e.Token != "" {
		return fmt.Sprintf("The token '%s' is invalid.", e.Token)
	}
	return fmt.Sprintf("Value '%d' failed to satisfy constraint: Member must have value greater than or equal to 1", e.Size)
}

// PageSize is size, or the lab's own or a fault's if that is smaller.
func (tx *Tx) PageSize(size int64) int64 {
	if tx.small > 0 {
		size = min(size, tx.small)
	}
	if small := tx.core.opts.PageSize; small > 0 {
		return min(size, small)
	}
	return size
}

// SmallPages makes the pages of this visit at most that small.
func (tx *Tx) SmallPages(size int64) { tx.small = size }

// Page cuts one page out of a list: at most size items (nil: as many as fit),
// never more than limit, nor than the lab's own PageSize. It begins after the
// item that token stands for ("" is the start), wherever that stands by now:
// what is new before it shifts nothing. If that item is gone, the page begins
// where the rest did. key names an item and MUST be unique in the list. next is
// "" on the last page. Its error is a *PageError.
func Page[T any](tx *Tx, list []T, key func(T) string, size *int64, limit int64, token string) (page []T, next string, err error) {
	var item T
	kind := fmt.Sprintf("%T", item) // a token of another list is no token of this one
	if token != "" {
		rest, last, ok := readToken(token, kind)
		if !ok {
			return nil, "", &PageError{Token: token}
		}
		from := max(len(list)-rest, 0)
		for k := range list {
			if key(list[k]) == last {
				from = k + 1
				break
			}
		}
		list = list[from:]
	}
	if size != nil {
		if *size < 1 {
			return nil, "", &PageError{Size: *size}
		}
		limit = min(limit, *size)
	}
	limit = tx.PageSize(limit)
	if int64(len(list)) <= limit {
		return list, "", nil
	}
	page = list[:limit]
	text := fmt.Sprintf("%s\x00%d\x00%s", kind, int64(len(list))-limit, key(page[limit-1]))
	return page, base64.RawURLEncoding.EncodeToString([]byte(text)), nil
}

func readToken(token, kind string) (rest int, last string, ok bool) {
	text, err := base64.RawURLEncoding.DecodeString(token)
	parts := strings.SplitN(string(text), "\x00", 3)
	if err != nil || len(parts) != 3 || parts[0] != kind {
		return 0, "", false
	}
	rest, err = strconv.Atoi(parts[1])
	return rest, parts[2], err == nil && rest > 0
}
