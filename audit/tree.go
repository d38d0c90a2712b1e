package audit

import (
	"crypto/sha256"
	"slices"

	"golang.org/x/mod/sumdb/tlog"
)

// A tree is the Merkle tree over the lines of a log (RFC 6962, 2.1), of which only
// the right edge is kept: enough to go on, and to know its root. The zero tree is
// empty.
type tree struct {
	size uint64
	edge []tlog.Hash // of the full subtrees, the largest first
}

// leaf is the hash of a line, which comes with its end.
func leaf(line []byte) tlog.Hash { return tlog.RecordHash(line) }

func (t *tree) add(leaf tlog.Hash) {
	t.edge = append(t.edge, leaf)
	for n := t.size; n&1 == 1; n >>= 1 {
		last := len(t.edge) - 1
		t.edge[last-1] = tlog.NodeHash(t.edge[last-1], t.edge[last])
		t.edge = t.edge[:last]
	}
	t.size++
}

func (t *tree) root() tlog.Hash {
	if t.size == 0 {
		return sha256.Sum256(nil)
	}
	h := t.edge[len(t.edge)-1]
	for i := len(t.edge) - 2; i >= 0; i-- {
		h = tlog.NodeHash(t.edge[i], h)
	}
	return h
}

// span is a range of the leaves of a tree: from the first to before the second.
type span struct{ from, to uint64 }

// beside returns the ranges whose roots lead from a leaf to the root of a tree of
// n leaves, the leaf's own sibling first (RFC 6962, 2.1.1).
func beside(leaf, n uint64) []span {
	var out []span
	in := span{0, n}
	for in.to-in.from > 1 {
		half := uint64(1)
		for half*2 < in.to-in.from {
			half *= 2
		}
		if mid := in.from + half; leaf < mid {
			out, in = append(out, span{mid, in.to}), span{in.from, mid}
		} else {
			out, in = append(out, span{in.from, mid}), span{mid, in.to}
		}
	}
	slices.Reverse(out)
	return out
}
