package bundle

import "testing"

// Which bundle may come after which.
func TestVersions(t *testing.T) {
	r := func(s string) Version { return Version{Revision: s} }
	n := func(s string, seq int64) Version { return Version{s, seq, true} }
	for _, c := range []struct {
		was, is Version
		ok      bool
	}{
		{r(""), r(""), true}, {r(""), r("7"), true}, {r("abc"), r("abb"), true}, {r("abc"), r("7"), true},
		{r("7"), r("8"), true}, {r("9"), r("10"), true}, {r("8"), r("7"), false}, {r("8"), r("8"), false}, {r("8"), r(""), false}, {r("8"), r("abc"), false}, {r("8"), r("-9"), false},
		{r("20261125120000"), r("20261125120001"), true}, {r("007"), r("7"), false}, {r("18446744073709551615"), r("18446744073709551616"), true},
		{r("1.2.3"), r("1.10.0"), true}, {r("v1.2.3"), r("1.2.4"), true}, {r("1.2.3"), r("1.2.3-rc1"), false}, {r("1.2.3"), r("1.2.3+b"), false}, {r("2.0.0"), r("1.9.9"), false}, {r("1.2.3"), r("3"), true},
		{r("2026-11-25T12:00:00Z"), r("2026-11-25T12:00:00.5Z"), true}, {r("2026-11-25T12:00:00Z"), r("2026-11-25T13:00:00+02:00"), false}, {r("2026-11-25"), r("2026-11-26T00:00:01Z"), true}, {r("2026-11-25T12:00:00Z"), r("2026-11-25"), false}, {r("2026-11-25T12:00:00Z"), r("8"), false},
		{n("abc", 7), n("abb", 8), true}, {n("9", 7), n("1", 8), true}, {n("1", 8), n("9", 7), false}, {n("a", 8), n("b", 8), false},
		{n("abc", 7), r("abd"), false}, {n("8", 7), r("9"), true}, {n("8", 7), r("7"), false}, {r("8"), n("9", 1), true}, {r("8"), n("7", 9), false}, {r("abc"), n("abc", 1), true},
	} {
		if err := c.was.Follows(c.is); (err == nil) != c.ok {
			t.Errorf("%v, then %v: %v", c.was, c.is, err)
		}
	}
}
