package admin

// A Confinement is what the process that parses hostile bytes may do, as the
// kernel has it: of all its threads together, the most that any may.
type Confinement struct {
	UID          int          `json:"uid"`
	GID          int          `json:"gid"`
	Groups       []int        `json:"groups"`
	Capabilities Capabilities `json:"capabilities"`
	NoNewPrivs   bool         `json:"no_new_privs"`
	Seccomp      string       `json:"seccomp"` // off, strict or filter
	Landlock     Landlock     `json:"landlock"`
	Dumpable     bool         `json:"dumpable"`        // others of the user may look into it
	Notes        []string     `json:"notes,omitempty"` // what an operator should know
}

// Capabilities are those of each set, such as net_admin. The bounding set of a
// process that an ordinary user started is full, and with no_new_privs nothing
// comes of it.
type Capabilities struct {
	Effective   []string `json:"effective"`
	Permitted   []string `json:"permitted"`
	Inheritable []string `json:"inheritable"`
	Ambient     []string `json:"ambient"`
	Bounding    []string `json:"bounding"`
}

// Landlock says whether the kernel enforces which files are left, or why not.
type Landlock struct {
	ABI      int    `json:"abi"` // of the kernel; 0 has none
	Enforced bool   `json:"enforced"`
	Reason   string `json:"reason,omitempty"`
}
