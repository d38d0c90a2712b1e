// Package syslog gives records to syslog servers: by TCP and TLS (RFC 5424, 5425,
// 6587), which acknowledge nothing, and by RELP, which does.
package syslog

import (
	"fmt"
	"os"
	"strconv"
	"time"

	"sallyport/audit/ship"
)

// A Form is what messages have beside the record.
type Form struct {
	Facility int    // 0 to 23; RFC 5424, 6.2.1
	Host     string // HOSTNAME; "" is this machine's
	App      string // APP-NAME
}

// severity is that of a record: what is refused is a warning.
func severity(r ship.Record) int {
	switch r.Decision {
	case "deny":
		return 4
	case "error":
		return 3
	}
	return 6
}

// Message is a record as one message of RFC 5424: the id of the record is the
// MSGID, its sequence stands in the structured data of meta (RFC 5424, 7.3).
func (f Form) Message(r ship.Record) []byte {
	b := make([]byte, 0, len(r.Line)+160)
	b = fmt.Appendf(b, "<%d>1 %s %s %s %d %s [meta sequenceId=\"%d\"] ", f.Facility*8+severity(r), r.Time.UTC().Format("2006-01-02T15:04:05.000000Z07:00"),
		header(f.Host, 255), header(f.App, 48), os.Getpid(), header(r.Name, 32), r.Sequence%(1<<31-1)+1)
	return append(b, r.Line...) // JSON, in which control characters are escaped
}

// header is a field of the header: printable ASCII without spaces, not too long.
func header(s string, most int) string {
	b := []byte(s)
	for i, c := range b {
		if c <= ' ' || c > '~' {
			b[i] = '_'
		}
	}
	if len(b) == 0 {
		return "-"
	}
	return string(b[:min(len(b), most)])
}

// counted is a message with its length before it: octet counting (RFC 6587, 3.4.1).
// Nothing in a message can end it.
func counted(dst, message []byte) []byte {
	dst = strconv.AppendInt(dst, int64(len(message)), 10)
	return append(append(dst, ' '), message...)
}

// host is the name of this machine.
func host(s string) string {
	if s != "" {
		return s
	}
	h, err := os.Hostname()
	if err != nil {
		return "-"
	}
	return h
}

const (
	dialTimeout  = 10 * time.Second
	writeTimeout = 20 * time.Second
)
