package sandbox

import (
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"testing"

	"sallyport/dest"
)

func host(t *testing.T, s string) dest.Host {
	t.Helper()
	h, err := dest.ParseHost(s)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func TestNames(t *testing.T) {
	n := NewNames(0)
	a, b := host(t, "a.example"), host(t, "b.example")
	a4, err := n.Addr4(a)
	if err != nil {
		t.Fatal(err)
	}
	a6, _ := n.Addr6(a)
	b4, _ := n.Addr4(b)
	if again, _ := n.Addr4(a); again != a4 || a4 == b4 {
		t.Fatal(a4, again, b4)
	}
	for addr, want := range map[netip.Addr]dest.Host{a4: a, a6: a, b4: b, netip.AddrFrom16(a4.As16()): a} {
		if h, known, synthetic := n.Lookup(addr); h != want || !known || !synthetic {
			t.Errorf("%s is %s %v %v", addr, h, known, synthetic)
		}
	}
	for _, s := range []string{"198.18.0.0", "198.18.0.1", "198.19.255.255", "fd53:616c:6c79::1", "fd53:616c:6c79:0:1::10"} {
		if h, known, synthetic := n.Lookup(netip.MustParseAddr(s)); known || !synthetic {
			t.Errorf("%s, which was never given out, is %s", s, h)
		}
	}
	if _, known, synthetic := n.Lookup(netip.MustParseAddr("192.0.2.1")); known || synthetic {
		t.Error("an ordinary address is synthetic")
	}
}

func TestNamesFull(t *testing.T) {
	n := NewNames(2)
	for i := range 2 {
		if _, err := n.Addr4(host(t, fmt.Sprintf("h%d.example", i))); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := n.Addr4(host(t, "one-more.example")); !errors.Is(err, ErrNamesFull) {
		t.Fatal(err)
	}
	if _, err := n.Addr6(host(t, "h1.example")); err != nil {
		t.Fatal("a known name", err)
	}
}

func TestRegistry(t *testing.T) {
	r := NewRegistry()
	events, cancel := r.Subscribe(8)
	defer cancel()
	web := &Sandbox{ID: NewID(), Name: "web", Labels: map[string]string{"team": "web", "env": "ci"}, Props: map[string]any{"a": []any{"b"}}, Identity: Identity{WayRun, "ns1"}}
	job := &Sandbox{ID: NewID(), Name: "job", Labels: map[string]string{"team": "web"}}
	if err := r.Update(func(tx *Tx) error { return errors.Join(tx.Put(web), tx.Put(job)) }); err != nil {
		t.Fatal(err)
	}
	web.Labels["team"] = "changed outside"
	web.Props["a"].([]any)[0] = "changed outside"
	err := r.View(func(tx *Tx) error {
		got, err := tx.ByIdentity(Identity{WayRun, "ns1"})
		if err != nil {
			return err
		}
		if got.Labels["team"] != "web" || got.Props["a"].([]any)[0] != "b" {
			t.Errorf("a copy was changed: %+v", got)
		}
		if _, err := tx.ByIdentity(Identity{WayExplicit, "ns1"}); !errors.Is(err, ErrNotFound) {
			t.Error("another way in is another identity:", err)
		}
		if l, _ := tx.List(map[string]string{"team": "web"}); len(l) != 2 {
			t.Errorf("%d sandboxes of the team", len(l))
		}
		if l, _ := tx.List(map[string]string{"team": "web", "env": "ci"}); len(l) != 1 || l[0].Name != "web" {
			t.Errorf("%v", l)
		}
		if l, _ := tx.List(nil); len(l) != 2 {
			t.Errorf("%d sandboxes", len(l))
		}
		return tx.Put(got)
	})
	if err == nil {
		t.Error("a view changed something")
	}
	if err := r.Update(func(tx *Tx) error { return tx.Put(&Sandbox{ID: NewID(), Name: "web"}) }); !errors.Is(err, ErrExists) {
		t.Error("two sandboxes have one name:", err)
	}
	if err := r.Update(func(tx *Tx) error {
		return tx.Put(&Sandbox{ID: NewID(), Name: "thief", Identity: Identity{WayRun, "ns1"}})
	}); !errors.Is(err, ErrExists) {
		t.Error("two sandboxes have one identity:", err)
	}
	failed := errors.New("no")
	if err := r.Update(func(tx *Tx) error { _ = tx.Delete(job.ID); return failed }); !errors.Is(err, failed) {
		t.Error(err)
	}
	if err := r.Update(func(tx *Tx) error { return tx.Delete(job.ID) }); err != nil {
		t.Error(err)
	}
	var got []string
	for range 3 {
		ev := <-events
		got = append(got, fmt.Sprint(ev.Sandbox.Name, ev.Deleted))
	}
	if fmt.Sprint(got) != "[webfalse jobfalse jobtrue]" || len(events) != 0 {
		t.Error(got)
	}
}

func TestSlowWatcherIsDropped(t *testing.T) {
	r := NewRegistry()
	events, cancel := r.Subscribe(1)
	defer cancel()
	for i := range 3 {
		if err := r.Update(func(tx *Tx) error { return tx.Put(&Sandbox{ID: NewID(), Name: fmt.Sprint(i)}) }); err != nil {
			t.Fatal(err)
		}
	}
	if ev := <-events; ev.Sandbox.Name != "0" {
		t.Error(ev)
	}
	if _, open := <-events; open {
		t.Error("a watcher that fell behind was not told so")
	}
}

func TestRegistryRace(t *testing.T) {
	r := NewRegistry()
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			sb := &Sandbox{ID: NewID(), Name: fmt.Sprint(i), Labels: map[string]string{"n": "0"}}
			for range 50 {
				_ = r.Update(func(tx *Tx) error { return tx.Put(sb) })
				_ = r.View(func(tx *Tx) error { _, err := tx.List(map[string]string{"n": "0"}); return err })
			}
		})
	}
	wg.Wait()
}

// Ten thousand sandboxes: what it costs to find one, to change one, and to list
// those that have a label.
func BenchmarkRegistry(b *testing.B) {
	const n = 10_000
	r := NewRegistry()
	ids := make([]string, n)
	for i := range n {
		sb := &Sandbox{ID: NewID(), Name: fmt.Sprintf("box-%05d", i), Labels: map[string]string{"team": fmt.Sprint(i % 100)}, Props: map[string]any{"tenant": fmt.Sprint(i)}, Identity: Identity{WayJoin, fmt.Sprint(i)}}
		ids[i] = sb.ID
		if err := r.Update(func(tx *Tx) error { return tx.Put(sb) }); err != nil {
			b.Fatal(err)
		}
	}
	must := func(b *testing.B, err error) {
		if err != nil {
			b.Fatal(err)
		}
	}
	b.Run("get", func(b *testing.B) {
		for i := 0; b.Loop(); i++ {
			must(b, r.View(func(tx *Tx) error { _, err := tx.Get(ids[i%n]); return err }))
		}
	})
	b.Run("identity", func(b *testing.B) {
		for i := 0; b.Loop(); i++ {
			must(b, r.View(func(tx *Tx) error { _, err := tx.ByIdentity(Identity{WayJoin, fmt.Sprint(i % n)}); return err }))
		}
	})
	b.Run("label", func(b *testing.B) {
		for i := 0; b.Loop(); i++ {
			must(b, r.View(func(tx *Tx) error { _, err := tx.List(map[string]string{"team": fmt.Sprint(i % 100)}); return err }))
		}
	})
	b.Run("change", func(b *testing.B) {
		for i := 0; b.Loop(); i++ {
			must(b, r.Update(func(tx *Tx) error {
				sb, err := tx.Get(ids[i%n])
				if err != nil {
					return err
				}
				sb.Paused = !sb.Paused
				return tx.Put(sb)
			}))
		}
	})
	b.Run("create and delete", func(b *testing.B) {
		for i := 0; b.Loop(); i++ {
			sb := &Sandbox{ID: NewID(), Name: fmt.Sprintf("new-%d", i)}
			must(b, r.Update(func(tx *Tx) error { return tx.Put(sb) }))
			must(b, r.Update(func(tx *Tx) error { return tx.Delete(sb.ID) }))
		}
	})
}
