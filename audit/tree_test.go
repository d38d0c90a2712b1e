package audit

import (
	"fmt"
	"slices"
	"testing"

	"golang.org/x/mod/sumdb/tlog"
)

// stored are the hashes of a whole tree, as tlog keeps them.
type stored []tlog.Hash

func (h stored) ReadHashes(at []int64) ([]tlog.Hash, error) {
	out := make([]tlog.Hash, len(at))
	for i, n := range at {
		out[i] = h[n]
	}
	return out, nil
}

// The tree, and what leads from a leaf to its root, are those of another
// implementation of RFC 6962.
func TestTree(t *testing.T) {
	var all stored
	var own tree
	var leaves []tlog.Hash
	for n := range uint64(70) {
		if n > 0 {
			want, err := tlog.TreeHash(int64(n), all)
			if err != nil || own.root() != want || own.size != n {
				t.Fatalf("%d leaves: root %s, want %s", n, own.root(), want)
			}
			for i := range n {
				proof, err := tlog.ProveRecord(int64(n), int64(i), all)
				if err != nil {
					t.Fatal(err)
				}
				var path []tlog.Hash
				for _, s := range beside(i, n) {
					var side tree
					for _, h := range leaves[s.from:s.to] {
						side.add(h)
					}
					path = append(path, side.root())
				}
				if !slices.Equal(path, proof) {
					t.Fatalf("leaf %d of %d: %s, want %s", i, n, path, proof)
				}
			}
		}
		h := leaf(fmt.Appendf(nil, "record %d\n", n))
		more, err := tlog.StoredHashesForRecordHash(int64(n), h, all)
		if err != nil {
			t.Fatal(err)
		}
		all, leaves = append(all, more...), append(leaves, h)
		own.add(h)
	}
}

func FuzzCheckpoint(f *testing.F) {
	f.Add("sallyport/audit/x\n12\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n")
	f.Add("sallyport/audit/x\n12\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\nnext k\n")
	f.Add("x\n012\nAAAA\n\n")
	f.Fuzz(func(t *testing.T, text string) {
		if c, err := parseCheckpoint(text); err == nil && c.text() != text {
			t.Errorf("%q is read as %q", text, c.text())
		}
	})
}
