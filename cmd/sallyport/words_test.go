package main

import (
	"bytes"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

// What is wrong with a command line is said in words, with how one is written.
func TestWrongCommandLines(t *testing.T) {
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"serve", "--confg", "x"}, "sallyport: serve: unknown flag: --confg; did you mean --config?\n"},
		{[]string{"serve", "--nonsense"}, "sallyport: serve: unknown flag: --nonsense; see sallyport serve --help\n"},
		{[]string{"serve", "-c"}, "sallyport: --config: its value is missing; see sallyport serve --help\n"},
		{[]string{"serve", "extra"}, "sallyport: serve: \"extra\" has no place here; expected sallyport serve [-c FILE]\n"},
		{[]string{"config", "check"}, "sallyport: config check: an argument is missing; expected sallyport config check FILE\n"},
		{[]string{"config", "check", "a", "b"}, "sallyport: config check: \"b\" has no place here; expected sallyport config check FILE\n"},
		{[]string{"sandbox", "prop", "a", `tenant={"id": 7`}, "sallyport: property tenant: {\"id\": 7 begins as JSON and is none: unexpected EOF; a text that begins so stands in quotes, \"…\"\n"},
		{[]string{"run", "--sidecar", "/nothere.sock", "--", "true"}, "sallyport: there is no control socket /nothere.sock: start sallyport serve, or name what its configuration calls control.socket with --sidecar\n"},
		{[]string{"run", "--sidecar", "/" + strings.Repeat("s", 107), "--", "true"}, "sallyport: /" + strings.Repeat("s", 107) + " has 108 bytes, and the path of a socket has at most 107: what --sidecar names is no socket\n"},
		{[]string{"audit", "tail", "--denied", "--decision", "allow", "x"}, "sallyport: --denied and --decision say different things\n"},
		{[]string{"sandbox", "label", "a"}, "sallyport: sandbox label: an argument is missing; expected sallyport sandbox label NAME KEY=VALUE… [KEY-…]\n"},
		{[]string{"sandbox", "fly", "a"}, "sallyport: sallyport sandbox has no command \"fly\"; see sallyport sandbox --help\n"},
		{[]string{"sandbox", "sho", "a"}, "sallyport: sallyport sandbox has no command \"sho\"; did you mean show?\n"},
		{[]string{"ca", "init", "--days", "x"}, "sallyport: --days \"x\": expected a whole number\n"},
		{[]string{"join", "--wait", "5", "--", "true"}, "sallyport: --wait \"5\": expected a time such as 30s or 5m\n"},
		{[]string{"status", "--json=perhaps"}, "sallyport: --json \"perhaps\": expected true or false\n"},
		{[]string{"serve", "-c", "/nothere"}, "sallyport: the configuration: /nothere: no such file or directory\n"},
		{[]string{"status", "--control", "/nothere"}, "sallyport: there is no control socket /nothere: start sallyport serve, or name what its configuration calls control.socket with --control\n"},
		{[]string{"status", "--control", "127.0.0.1:1"}, "sallyport: there is no control socket 127.0.0.1:1: start sallyport serve, or name what its configuration calls control.socket with --control; over TCP it is https://127.0.0.1:1\n"},
		{[]string{"status", "--control", "https://127.0.0.1:1"}, "sallyport: nobody listens at https://127.0.0.1:1: is sallyport serve running, and does its configuration name that address as control.listen?\n"},
	} {
		var out, said bytes.Buffer
		if code := execute(t.Context(), c.args, nil, &out, &said); code != codeFailed || said.String() != c.want {
			t.Errorf("%v: %d\n got %s\nwant %s", c.args, code, said.String(), c.want)
		}
	}
}

// Every command that people see has an example of its own.
func TestCommandsHaveExamples(t *testing.T) {
	var walk func(c *cobra.Command)
	walk = func(c *cobra.Command) {
		if c.Hidden || c.Name() == "help" || c.Name() == "completion" {
			return
		}
		if !strings.Contains(c.Example, "sallyport") {
			t.Errorf("%s has no example", c.CommandPath())
		}
		for _, sub := range c.Commands() {
			walk(sub)
		}
	}
	walk(rootCommand())
}
