package words

import "runtime/debug"

// Version is the module's, with the commit it was built from when that is known.
func Version() string {
	v := "devel"
	bi, ok := debug.ReadBuildInfo()
	if !ok {
		return v
	}
	if bi.Main.Version != "" && bi.Main.Version != "(devel)" {
		v = bi.Main.Version
	}
	for _, s := range bi.Settings {
		if s.Key == "vcs.revision" {
			v += " (" + s.Value[:min(12, len(s.Value))] + ")"
		}
	}
	return v
}
