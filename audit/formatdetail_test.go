package audit

import (
	"bytes"
	"strings"
	"testing"
)

// A line for people says who did what, and each thing once.
func TestFormatDetail(t *testing.T) {
	dir := t.TempDir()
	l := open(t, dir, Options{})
	box := Sandbox{ID: "b1", Name: "box"}
	failed := decision("x")
	failed.Name, failed.Result = RequestComplete, &Result{Error: "name_unresolved: no such host", ErrorType: "name_unresolved"}
	for _, ev := range []*Event{
		{Name: ControlChange, Sandbox: box, Lifecycle: &Lifecycle{Detail: map[string]string{"action": "change", "state": "paused", "actor.uid": "7", "actor.gid": "7", "actor.pid": "8"}}},
		{Name: ControlChange, Lifecycle: &Lifecycle{Detail: map[string]string{"action": "ca.rotate", "actor.name": "ops", "actor.address": "10.0.0.9"}}},
		{Name: ControlChange, Sandbox: box, Lifecycle: &Lifecycle{Detail: map[string]string{"action": "remove", "actor.uid": "0", "actor.pid": "0"}}},
		{Name: ControlRefused, Lifecycle: &Lifecycle{Detail: map[string]string{"reason": "no_token", "actor.address": "10.0.0.9"}}},
		{Name: ConfigRefused, Lifecycle: &Lifecycle{Detail: map[string]string{"error": "a\n\x1bb"}}},
		{Name: ConfigLoaded, Lifecycle: &Lifecycle{Detail: map[string]string{"policy.web": "abc"}}},
		failed,
	} {
		if _, err := l.Record(t.Context(), ev); err != nil {
			t.Fatal(err)
		}
	}
	_ = l.Close()
	var b bytes.Buffer
	if err := Tail(t.Context(), dir, TailOptions{}, func(e Entry) error { return FormatEntry(&b, e, false) }); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"  control.change  box  change  state=paused  by user 7\n",
		"  control.change  ca.rotate  by ops from 10.0.0.9\n",
		"  control.change  box  remove  by the sidecar\n",
		"  control.refused  no_token  from 10.0.0.9\n",
		"  config.refused  a; ?b\n",
		"  config.loaded\n",
		"  name_unresolved  no such host",
	} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("%q is not in\n%s", want, b.String())
		}
	}
	if strings.Contains(b.String(), " \n") {
		t.Errorf("a line ends with a space:\n%s", b.String())
	}
}
