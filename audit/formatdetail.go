package audit

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// detail is what a record says of a command, a configuration or a namespace, as
// one line: what was done, its settings, and by whom.
func detail(e Entry) string {
	said := map[string]string{}
	for k, v := range e.Fields {
		if name, ok := strings.CutPrefix(k, "detail."); ok {
			said[name] = fmt.Sprint(v)
		}
	}
	var parts []string
	switch Name(e.Str("event.name")) {
	case ControlChange, ControlRefused, ConfigRefused, PolicyLoaded, PolicyRefused, SandboxReleased, EnrolRefused:
		for _, k := range []string{"action", "policy", "code", "reason", "error"} {
			if s := said[k]; s != "" {
				parts = append(parts, strings.ReplaceAll(s, "\n", "; "))
			}
			delete(said, k)
		}
	case AuditCheckpoint, AuditEpoch:
		size := ""
		if c, err := ParseAnchor([]byte(said["note"])); err == nil {
			size = fmt.Sprintf("%d records", c.Size)
		}
		if said["key"] != "" {
			return strings.TrimPrefix(size+"  another key signs from here on", "  ")
		}
		return size + " are signed"
	case LifecycleClock, SinkState, SinkRejected:
	default:
		return ""
	}
	who := "by the sidecar"
	switch {
	case said["actor.name"] != "":
		who = "by " + said["actor.name"] + " from " + said["actor.address"]
	case said["actor.uid"] != "" && said["actor.pid"] != "0":
		who = "by user " + said["actor.uid"]
	case said["actor.address"] != "":
		who = "from " + said["actor.address"]
	}
	for _, k := range slices.Sorted(maps.Keys(said)) {
		if !strings.HasPrefix(k, "actor.") && said[k] != "" {
			parts = append(parts, k+"="+said[k])
		}
	}
	if n := Name(e.Str("event.name")); n == ControlChange || n == ControlRefused {
		parts = append(parts, who)
	}
	return strings.Join(parts, "  ")
}
