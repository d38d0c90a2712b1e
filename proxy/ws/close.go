package ws

import (
	"encoding/binary"
	"unicode/utf8"
)

// ParseClose reads the payload of a close: RFC 6455, 5.5.1. Without one the code
// is NoCode.
func ParseClose(b []byte) (code int, reason string, err error) {
	switch {
	case len(b) == 0:
		return NoCode, "", nil
	case len(b) == 1:
		return 0, "", violation("a close has half a code")
	}
	code = int(binary.BigEndian.Uint16(b))
	switch {
	case code >= 3000 && code <= 4999:
	case code >= 1000 && code <= 1014 && (code < 1004 || code > 1006):
	default:
		return 0, "", violation("a close has a code that none may have")
	}
	if !utf8.Valid(b[2:]) {
		return 0, "", &Error{Invalid, "the reason of a close is not UTF-8"}
	}
	return code, string(b[2:]), nil
}

// FormatClose is the payload of a close. A reason that is too long is cut between
// characters; NoCode has none.
func FormatClose(code int, reason string) []byte {
	if code == NoCode {
		return nil
	}
	if len(reason) > maxReason {
		at := maxReason
		for !utf8.RuneStart(reason[at]) {
			at--
		}
		reason = reason[:at]
	}
	return append(binary.BigEndian.AppendUint16(nil, uint16(code)), reason...)
}
