package h1

import "bytes"

// crlf returns a line without its end, and how long it is with it; 0 when it is
// not there yet.
func crlf(b []byte, max int, what string) ([]byte, int, *Error) {
	i := bytes.IndexByte(b, '\n')
	switch {
	case i < 0 && len(b) > max:
		return nil, 0, bad("framing_invalid", what+" is too long")
	case i < 0:
		return nil, 0, nil
	case i == 0 || b[i-1] != '\r':
		return nil, 0, bad("framing_invalid", what+" ends in LF without CR")
	case i > max:
		return nil, 0, bad("framing_invalid", what+" is too long")
	}
	line := b[:i-1]
	if bytes.IndexByte(line, '\r') >= 0 {
		return nil, 0, bad("framing_invalid", what+" has a CR inside")
	}
	return line, i + 1, nil
}

// chunkSize reads the size of a chunk, and looks at its extension only to see
// that it is short text: RFC 9112, 7.1.1.
func chunkSize(line []byte) (int64, *Error) {
	size, ext, has := bytes.Cut(line, []byte(";"))
	if has {
		if len(ext) > maxChunkExt {
			return 0, bad("framing_invalid", "a chunk's extension is too long")
		}
		for _, c := range ext {
			if c < ' ' && c != '\t' || c >= 0x7f {
				return 0, bad("framing_invalid", "a chunk's extension has a control character")
			}
		}
	}
	if len(size) == 0 || len(size) > 15 {
		return 0, bad("framing_invalid", "a chunk's size is not a number")
	}
	var n int64
	for _, c := range size {
		switch {
		case digit(c):
			n = n<<4 | int64(c-'0')
		case c >= 'a' && c <= 'f':
			n = n<<4 | int64(c-'a'+10)
		case c >= 'A' && c <= 'F':
			n = n<<4 | int64(c-'A'+10)
		default:
			return 0, bad("framing_invalid", "a chunk's size is not a number")
		}
	}
	return n, nil
}

func trailerLine(line []byte) *Error {
	name, value, ok := bytes.Cut(line, []byte(":"))
	if !ok || !token(name) {
		return bad("framing_invalid", "a trailer field is malformed")
	}
	for _, c := range value {
		if c < ' ' && c != '\t' || c == 0x7f {
			return bad("framing_invalid", "a trailer field has a control character")
		}
	}
	return nil
}
