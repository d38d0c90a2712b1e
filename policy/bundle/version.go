package bundle

import (
	"cmp"
	"fmt"
	"strconv"
	"strings"
	"time"

	"golang.org/x/mod/semver"
)

// A Version is what a bundle says of its age: metadata.sallyport.sequence, which
// counts where both have it, and a revision, which is in order when it is a whole
// number, a semantic version or a time.
type Version struct {
	Revision  string
	Sequence  int64
	Sequenced bool
}

// String is how people name it.
func (v Version) String() string {
	switch {
	case v.Sequenced && v.Revision != "":
		return fmt.Sprintf("revision %s, sequence %d", v.Revision, v.Sequence)
	case v.Sequenced:
		return fmt.Sprintf("sequence %d", v.Sequence)
	case v.Revision != "":
		return "revision " + v.Revision
	}
	return "no revision"
}

// Ordered reports whether it can be told which of two like it is older.
func (v Version) Ordered() bool {
	_, ok := order(v, v)
	return ok
}

// Follows says why a bundle of other content may not come after this one: it is
// not newer, or it cannot be told. What is in no order is followed by anything.
func (v Version) Follows(next Version) error {
	if !v.Ordered() {
		return nil
	}
	n, ok := order(v, next)
	switch {
	case !ok:
		return fmt.Errorf("%s cannot be compared with %s, which is in force: it may be older", next, v)
	case n > 0:
		return fmt.Errorf("%s is older than %s, which is in force", next, v)
	case n == 0:
		return fmt.Errorf("%s is that of what is in force, with other content", next)
	}
	return nil
}

// order compares two, and reports whether that can be done.
func order(a, b Version) (int, bool) {
	if a.Sequenced && b.Sequenced {
		return cmp.Compare(a.Sequence, b.Sequence), true
	}
	for _, by := range []func(a, b string) (int, bool){byNumber, bySemver, byTime} {
		if n, ok := by(a.Revision, b.Revision); ok {
			return n, true
		}
	}
	return 0, false
}

func byNumber(a, b string) (int, bool) {
	x, err := strconv.ParseUint(a, 10, 64)
	if err != nil {
		return 0, false
	}
	y, err := strconv.ParseUint(b, 10, 64)
	return cmp.Compare(x, y), err == nil
}

func bySemver(a, b string) (int, bool) {
	a, b = "v"+strings.TrimPrefix(a, "v"), "v"+strings.TrimPrefix(b, "v")
	return semver.Compare(a, b), semver.IsValid(a) && semver.IsValid(b)
}

func byTime(a, b string) (int, bool) {
	x, ok := timeIn(a)
	if !ok {
		return 0, false
	}
	y, ok := timeIn(b)
	return x.Compare(y), ok
}

func timeIn(s string) (time.Time, bool) {
	for _, l := range []string{time.RFC3339Nano, time.DateOnly} {
		if t, err := time.Parse(l, s); err == nil {
			return t, true
		}
	}
	return time.Time{}, false
}
