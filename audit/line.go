package audit

import (
	"bytes"
	"sync"

	"github.com/rs/zerolog"
)

// lineWriter takes the one write of a zerolog event.
type lineWriter struct {
	b   []byte
	log zerolog.Logger
}

var writers = sync.Pool{New: func() any {
	w := &lineWriter{}
	w.log = zerolog.New(w)
	return w
}}

func (w *lineWriter) Write(p []byte) (int, error) {
	w.b = escape(w.b, bytes.TrimRight(p, "\n"))
	return len(p), nil
}

// special are the bytes with which something begins that is escaped.
var special = [256]bool{'<': true, '>': true, '&': true, 0x7f: true, 0xe2: true, 0xc2: true}

// escape writes <, > and & as JSON escapes, so that no line can be markup of a
// frame or page around it, and so for the two line separators of Unicode. They
// stand inside strings only, where an escape means the same.
func escape(dst, s []byte) []byte {
	const hexDigits = "0123456789abcdef"
	start := 0
	for i := 0; i < len(s); i++ {
		if !special[s[i]] {
			continue
		}
		switch c := s[i]; {
		case c == '<' || c == '>' || c == '&' || c == 0x7f:
			dst = append(dst, s[start:i]...)
			dst = append(dst, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
			start = i + 1
		case c == 0xe2 && i+2 < len(s) && s[i+1] == 0x80 && (s[i+2] == 0xa8 || s[i+2] == 0xa9):
			dst = append(dst, s[start:i]...)
			dst = append(dst, '\\', 'u', '2', '0', '2', hexDigits[s[i+2]&15])
			start = i + 3
			i += 2
		case c == 0xc2 && i+1 < len(s) && s[i+1] >= 0x80 && s[i+1] < 0xa0: // C1 controls
			dst = append(dst, s[start:i]...)
			dst = append(dst, '\\', 'u', '0', '0', hexDigits[s[i+1]>>4], hexDigits[s[i+1]&15])
			start = i + 2
			i++
		}
	}
	return append(dst, s[start:]...)
}
