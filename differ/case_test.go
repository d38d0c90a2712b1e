package differ

import (
	"fmt"
	"strings"
	"testing"
)

// A want is what has to become of a case, beside what holds for each: that what
// arrives is what was judged.
type want int

const (
	either  want = iota // servers may be asked or not
	refused             // no server may be asked
	broken              // servers may be asked, and none may take what comes for whole
	arrives             // every server has to be asked, as often as count says
)

// A kase is one thing to send. In its text {host} is the authority of the origin,
// {name} and {port} its parts, and {id} what names the case to origins.
type kase struct {
	group, name string
	way         string // plain, tls, proxy or h2
	raw         string // of HTTP/1
	h2          *stream
	want        want
	count       int    // of requests that arrive; 0 is one
	before      int    // answers that come before theirs
	body        string // that has to arrive with the first, where something has to
}

func (k kase) id() string { return k.group + "/" + k.name }

// requests is how many have to arrive.
func (k kase) requests() int { return max(k.count, 1) }

// A group collects the cases of one technique.
type group struct {
	name  string
	way   string
	cases *[]kase
}

// add takes a case with a name of its own.
func (g group) add(w want, name, raw string) *kase {
	way := g.way
	if way == "" {
		way = "plain"
	}
	*g.cases = append(*g.cases, kase{group: g.name, name: name, way: way, raw: raw, want: w})
	return &(*g.cases)[len(*g.cases)-1]
}

// named are texts under names that can be read.
type named struct{ name, text string }

// msg is a message of a request line and fields; Host and the case's name are
// added, and the empty line.
func msg(line string, fields ...string) string {
	return bare(line, append([]string{"Host: {host}", "X-Case: {id}"}, fields...)...)
}

// bare is msg with nothing added but the empty line.
func bare(line string, fields ...string) string {
	return line + "\r\n" + strings.Join(append(fields, "", ""), "\r\n")
}

func get(fields ...string) string  { return msg("GET /{id} HTTP/1.1", fields...) }
func post(fields ...string) string { return msg("POST /{id} HTTP/1.1", fields...) }

// behind is the request that one who smuggles wants to be read.
const behind = "GET /{id}/smuggled HTTP/1.1\r\nHost: {host}\r\nX-Case: {id}\r\nX-Judged: forged\r\n\r\n"

// corpus is every case, in an order that does not change.
func corpus() []kase {
	var all []kase
	for _, fill := range []struct {
		name, way string
		do        func(group)
	}{
		{"length", "", lengths}, {"coding", "", codings}, {"chunks", "", chunks}, {"trailers", "", trailers},
		{"line", "", lines}, {"ends", "", lineEnds}, {"method", "", methods}, {"target", "", targets}, {"absolute", "", absolutes},
		{"host", "", hosts}, {"name", "", names}, {"value", "", values}, {"folding", "", foldings}, {"owned", "", owned},
		{"connection", "", connections}, {"expect", "", expectations}, {"behind", "", pipelines}, {"content", "", contents},
		{"tls", "tls", inTLS}, {"proxy", "proxy", explicit}, {"frames", "h2", frames}, {"pseudo", "h2", pseudos}, {"fields", "h2", h2Fields}, {"paths", "h2", h2Paths},
	} {
		fill.do(group{fill.name, fill.way, &all})
	}
	return all
}

// The corpus is as large as it says, and each case has a name of its own.
func TestCorpus(t *testing.T) {
	all := corpus()
	seen, by := map[string]bool{}, map[string]int{}
	for _, k := range all {
		if seen[k.id()] {
			t.Errorf("%s stands twice", k.id())
		}
		if strings.ContainsAny(k.id(), " \r\n{}%") {
			t.Errorf("%q is no name", k.id())
		}
		seen[k.id()] = true
		if id := (entry{}).id(k); seen[id] && id != k.id() {
			t.Errorf("%s is %s to origins, as another is", k.id(), id)
		} else {
			seen[id] = true
		}
		by[fmt.Sprintf("%v %v", k.way == "h2", k.want)]++
	}
	if len(all) < 300 {
		t.Errorf("only %d cases", len(all))
	}
	t.Log(len(all), by)
}
