package wire

import (
	"encoding/base64"
	"time"
)

// Page cuts one page out of a list: at most max items (and never more than
// limit), beginning after the item that token stands for. key names an item; it
// MUST be unique in the list. next is "" on the last page.
func Page[T any](list []T, key func(T) string, most *int64, limit int64, token string) (page []T, next string, err error) {
	if token != "" {
		last, derr := base64.RawURLEncoding.DecodeString(token)
		at := -1
		for k := range list {
			if derr == nil && key(list[k]) == string(last) {
				at = k
				break
			}
		}
		if at < 0 {
			return nil, "", Errorf("InvalidNextToken", "The token '%s' is invalid", token)
		}
		list = list[at+1:]
	}
	if most != nil {
		if *most < 1 {
			return nil, "", Errorf("InvalidParameterValue", "Value (%d) for parameter maxResults is invalid.", *most)
		}
		limit = min(limit, *most)
	}
	if int64(len(list)) <= limit {
		return list, "", nil
	}
	page = list[:limit]
	return page, base64.RawURLEncoding.EncodeToString([]byte(key(page[limit-1]))), nil
}

// Time is how Query, EC2 and RESTXML write a time.
func Time(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000Z") }
