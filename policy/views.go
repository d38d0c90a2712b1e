package policy

// Views of a request are what its body says in a form that policy can go through,
// and for GraphQL its query too. One that is nil, of a request that has a body, is
// not known: another server might read the body in that form.
type Views struct {
	Form      map[string][]string // application/x-www-form-urlencoded
	Multipart []Part              // multipart/form-data, in order
	GraphQL   []Operation         // what would be executed: one of each request of a batch
	RPC       []Call              // of JSON-RPC 2.0, MCP's among them: all of a batch
	Hidden    View                // those that exist beside a body and are not known
}

// A View is one of the views of a request, or a set of them.
type View uint8

// The views.
const (
	ViewForm View = 1 << iota
	ViewMultipart
	ViewGraphQL
	ViewRPC
)

// Unknown are the views that exist and are not known.
func (r *RequestFacts) Unknown() View {
	out := r.Hidden
	if r.BodyState == BodyNone || r.BodyState == "" {
		return out
	}
	if r.Form == nil {
		out |= ViewForm
	}
	if r.Multipart == nil {
		out |= ViewMultipart
	}
	if r.GraphQL == nil {
		out |= ViewGraphQL
	}
	if r.RPC == nil {
		out |= ViewRPC
	}
	return out
}

// A Part is a field of a form, or a file.
type Part struct {
	Name        string
	Filename    string
	IsFile      bool // Filename was given
	ContentType string
	Size        int64   // of what it holds, in bytes
	Value       *string // of a field that is text; nil of others
}

// An Operation is what a GraphQL request has a server execute.
type Operation struct {
	Type   string   // query, mutation, subscription
	Name   string   // "" when it has none
	Fields []string // names of the fields at its root, whatever they are called in the answer, sorted; those in fragments too
}

// A Call is one message of JSON-RPC.
type Call struct {
	Kind   string // request, notification, response
	Method string // "" of a response
	Tool   string // the tool of MCP that tools/call calls
	ID     any    // a text, a number or nil
	Params any    // a JSON value, or nil
}
