package trust

import (
	"encoding/binary"
	"errors"
	"strings"
)

// A row of a table whose first column is a number that no other row has.
type row struct {
	id    byte
	blobs map[string][]byte // by column; others are NULL
}

const (
	pageSize    = 4096
	leafTable   = 0x0d
	leafIndex   = 0x0a
	fileHeader  = 100
	pageHeader  = 8
	serialByte  = 1 // serial type of an integer of one byte
	serialBlob  = 12
	serialText  = 13
	sqliteSince = 3008000 // the version that is said to have written it
)

var errTooLarge = errors.New("the certificate is too large for a page of the database")

// database writes a file of SQLite with one table of a few small rows, and the
// index of its primary key: three pages without overflow, as
// https://sqlite.org/fileformat2.html describes them. An engine for two rows
// would be most of this program.
func database(name, create string, rows []row) ([]byte, error) {
	columns := columnsOf(create)
	table, index := page{kind: leafTable}, page{kind: leafIndex}
	for _, r := range rows {
		var rec record
		rec.add(serialByte, []byte{r.id})
		for _, c := range columns[1:] {
			if b, ok := r.blobs[c]; ok {
				rec.add(serialBlob+2*uint64(len(b)), b)
			} else {
				rec.add(0, nil)
			}
		}
		table.cells = append(table.cells, tableCell(r.id, rec))
		var key record
		key.add(serialByte, []byte{r.id})
		key.add(serialByte, []byte{r.id})
		k := key.bytes()
		index.cells = append(index.cells, append(binary.AppendUvarint(nil, uint64(len(k))), k...)) // short: one byte in either form
	}
	schema := page{kind: leafTable, offset: fileHeader}
	for i, s := range [][3]string{{"table", name, create}, {"index", "sqlite_autoindex_" + name + "_1", ""}} {
		var rec record
		rec.text(s[0])
		rec.text(s[1])
		rec.text(name)
		rec.add(serialByte, []byte{byte(i + 2)}) // the page where it begins
		if s[2] == "" {
			rec.add(0, nil)
		} else {
			rec.text(s[2])
		}
		schema.cells = append(schema.cells, tableCell(byte(i+1), rec))
	}
	var out []byte
	for _, p := range []page{schema, table, index} {
		b, ok := p.bytes()
		if !ok {
			return nil, errTooLarge
		}
		out = append(out, b...)
	}
	copy(out, header(3))
	return out, nil
}

// header is what a file begins with.
func header(pages uint32) []byte {
	h := make([]byte, fileHeader)
	copy(h, "SQLite format 3\x00")
	binary.BigEndian.PutUint16(h[16:], pageSize)
	copy(h[18:], []byte{1, 1, 0, 64, 32, 32}) // rollback journal, and fractions that are fixed
	put := func(at int, v uint32) { binary.BigEndian.PutUint32(h[at:], v) }
	put(24, 1) // changes
	put(28, pages)
	put(40, 1) // schema cookie
	put(44, 4) // schema format
	put(56, 1) // UTF-8
	put(92, 1) // changes when the size was written
	put(96, sqliteSince)
	return h
}

func columnsOf(create string) (out []string) {
	_, list, _ := strings.Cut(create, "(")
	for c := range strings.SplitSeq(strings.TrimSuffix(list, ")"), ",") {
		out = append(out, strings.Fields(c)[0])
	}
	return out
}

// A record is the values of one row.
type record struct{ types, values []byte }

func (r *record) add(serial uint64, v []byte) {
	r.types = appendVarint(r.types, serial)
	r.values = append(r.values, v...)
}

func (r *record) text(s string) { r.add(serialText+2*uint64(len(s)), []byte(s)) }

func (r *record) bytes() []byte {
	n := len(r.types) + 1 // the length counts itself
	if n > 0x7f {
		n++
	}
	return append(append(appendVarint(nil, uint64(n)), r.types...), r.values...)
}

func tableCell(id byte, r record) []byte {
	b := r.bytes()
	return append(append(appendVarint(nil, uint64(len(b))), id), b...)
}

// appendVarint writes a number of up to 28 bits, seven at a time, the high ones first.
func appendVarint(dst []byte, v uint64) []byte {
	for shift := 21; shift > 0; shift -= 7 {
		if v >= 1<<shift {
			dst = append(dst, byte(v>>shift)|0x80)
		}
	}
	return append(dst, byte(v&0x7f))
}

// A page is a leaf with all of its cells.
type page struct {
	kind   byte
	offset int // of its header
	cells  [][]byte
}

func (p page) bytes() ([]byte, bool) {
	b := make([]byte, pageSize)
	b[p.offset] = p.kind
	binary.BigEndian.PutUint16(b[p.offset+3:], uint16(len(p.cells)))
	at := pageSize
	for i, c := range p.cells {
		at -= len(c)
		pointer := p.offset + pageHeader + 2*i
		if at < pointer+2*(len(p.cells)-i) || len(c) > pageSize-35 {
			return nil, false
		}
		copy(b[at:], c)
		binary.BigEndian.PutUint16(b[pointer:], uint16(at))
	}
	binary.BigEndian.PutUint16(b[p.offset+5:], uint16(at))
	return b, true
}
