package dest

import (
	"bytes"
	_ "embed"
	"encoding/csv"
	"net/netip"
	"slices"
)

//go:embed iana/ipv4.csv
var ipv4CSV []byte

//go:embed iana/ipv6.csv
var ipv6CSV []byte

// A block is one row of a registry.
type block struct {
	prefix netip.Prefix
	global bool // "globally reachable", as IANA has it
	class  Class
}

var (
	blocks4 = readBlocks(ipv4CSV)
	blocks6 = readBlocks(ipv6CSV)

	// global6 is all that IANA hands out as unicast: RFC 4291, 2.4.
	global6 = netip.MustParsePrefix("2000::/3")
)

// readBlocks reads an embedded registry, most specific prefix first. What it
// reads was compiled in, so a fault in it is a fault of the program.
func readBlocks(text []byte) []block {
	rows, err := csv.NewReader(bytes.NewReader(text)).ReadAll()
	if err != nil {
		panic(err)
	}
	var out []block
	for _, r := range rows[1:] {
		out = append(out, block{netip.MustParsePrefix(r[0]), r[3] == "true", Class(r[4])})
	}
	slices.SortStableFunc(out, func(a, b block) int { return b.prefix.Bits() - a.prefix.Bits() })
	return out
}
