package wire

import "fmt"

// Error is what AWS answers instead of a result.
type Error struct {
	Code    string
	Message string
	Status  int    // HTTP status; 0 means 400
	Shape   string // name of the error in JSON and CBOR where it differs from Code
}

func (e *Error) Error() string { return e.Code + ": " + e.Message }

// Errorf makes an Error of the caller's fault (HTTP 400).
func Errorf(code, format string, args ...any) *Error {
	return &Error{Code: code, Message: fmt.Sprintf(format, args...)}
}
