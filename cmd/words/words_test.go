package words

import "testing"

func TestPlainWords(t *testing.T) {
	for in, want := range map[string]string{
		"the configuration: open a b.yaml: no such file or directory":                                   "the configuration: a b.yaml: no such file or directory",
		"x.yaml:1:2: k: file:/a/b: open /a/b: no such file or directory\ny: open /c: permission denied": "x.yaml:1:2: k: file:/a/b: no such file or directory\ny: /c: permission denied",
		"state: mkdir /var/lib/x: permission denied":                                                    "state: /var/lib/x: it cannot be made: permission denied",
		"sandbox ci: listen tcp 127.0.0.1:31: bind: address already in use":                             "sandbox ci: 127.0.0.1:31: another program listens there",
		"somebody may open the door to: permission denied":                                              "somebody may open the door to: permission denied",
		"policy nothere: stat nothere: no such file or directory":                                       "policy nothere: no such file or directory",
		"no such file or directory":                                                                     "no such file or directory",
	} {
		if got := Plain(in); got != want {
			t.Errorf("%q\n got %q\nwant %q", in, got, want)
		}
	}
}
