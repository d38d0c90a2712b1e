package sandbox

// Tally counts all sandboxes by a word that is said of each. The sandboxes that
// say is given are the registry's own: it keeps and changes nothing of them.
func (tx *Tx) Tally(say func(*Sandbox) string) (map[string]int, error) {
	it, err := tx.txn.Get(table, "id")
	if err != nil {
		return nil, err
	}
	out := map[string]int{}
	for raw := it.Next(); raw != nil; raw = it.Next() {
		out[say(raw.(*Sandbox))]++
	}
	return out, nil
}
