package views

import (
	"encoding/json"
	"strings"
	"testing"
)

// GraphQL is what would be executed, by whichever name, or it is not known (hostile 83).
func TestGraphQL(t *testing.T) {
	const kind = "application/json"
	j := func(query string, more ...any) string {
		m := map[string]any{"query": query}
		for i := 0; i < len(more); i += 2 {
			m[more[i].(string)] = more[i+1]
		}
		b, _ := json.Marshal(m)
		return string(b)
	}
	two := "query A { a } mutation B { b }"
	for name, c := range map[string]struct {
		kind, body string
		query      map[string][]string
		want       string
	}{
		"a query":                   {kind, j("{ me { name } }"), nil, "parsed query:[me]"},
		"a mutation":                {kind, j("mutation Kill($x: ID!) { x: deleteAll(id: $x) { id } y }"), nil, "parsed mutation:Kill[deleteAll y]"},
		"in fragments":              {kind, j("query { ...A ... on Query { b } ...A } fragment A on Query { a ...C } fragment C on Query { c ...A }"), nil, "parsed query:[a b c]"},
		"a directive":               {kind, j("query { a @include(if: false) __schema { types { name } } }"), nil, "parsed query:[__schema a]"},
		"comments and commas":       {kind, j("#mutation\n,,,{,a,#}\n,b}"), nil, "parsed query:[a b]"},
		"one of two":                {kind, j(two, "operationName", "B"), nil, "parsed mutation:B[b]"},
		"none of two":               {kind, j(two), nil, "parsed"},
		"one that is not there":     {kind, j(two, "operationName", "C"), nil, "parsed"},
		"a name that is no text":    {kind, j(two, "operationName", []string{"B"}), nil, "parsed"},
		"a name that is null":       {kind, j("mutation X { a }", "operationName", nil), nil, "parsed mutation:X[a]"},
		"names alike":               {kind, j("query A { a } mutation A { b }", "operationName", "A"), nil, "parsed"},
		"without a name beside one": {kind, j("{ a } mutation B { b }", "operationName", "B"), nil, "parsed"},
		"fragments alike":           {kind, j("{ ...A } fragment A on Query { a } fragment A on Query { b }"), nil, "parsed"},
		"a fragment that is not":    {kind, j("{ ...A }"), nil, "parsed"},
		"a batch":                   {kind, "[" + j("{ a }") + "," + j("mutation { b }") + "]", nil, "parsed query:[a] mutation:[b]"},
		"a batch with something":    {kind, "[" + j("{ a }") + `,{"id": "hash"}]`, nil, "parsed"},
		"a batch in a batch":        {kind, "[[" + j("{ a }") + "]]", nil, "parsed"},
		"an empty batch":            {kind, "[]", nil, "parsed"},
		"a document that is kept":   {kind, `{"extensions": {"persistedQuery": {"sha256Hash": "x"}}}`, nil, "parsed"},
		"kept beside":               {kind, j("{ a }", "documentId", "x"), nil, "parsed"},
		"registering":               {kind, j("{ a }", "extensions", map[string]any{"persistedQuery": map[string]any{"sha256Hash": "x"}}), nil, "parsed query:[a]"},
		"other letters":             {kind, j("{ a }", "Query", "mutation { b }"), nil, "unparsed"},
		"other letters alone":       {kind, `{"QUERY": "{ a }"}`, nil, "parsed"},
		"in the query as well":      {kind, j("{ a }"), map[string][]string{"query": {"{ b }"}}, "parsed"},
		"the same in the query":     {kind, j("{ a }"), map[string][]string{"query": {"{ a }"}, "v": {"2"}}, "parsed query:[a]"},
		"a name in the query":       {kind, j(two, "operationName", "A"), map[string][]string{"operationName": {"B"}}, "parsed"},
		"a name in the query alone": {kind, j(two), map[string][]string{"operationName": {"B"}}, "parsed mutation:B[b]"},
		"kept in the query":         {kind, j("{ a }"), map[string][]string{"documentId": {"x"}}, "parsed"},
		"other parameters":          {kind, j("{ a }"), map[string][]string{"api-version": {"3"}}, "parsed query:[a]"},
		"a batch and a query":       {kind, "[" + j("{ a }") + "]", map[string][]string{"query": {"{ b }"}}, "parsed"},
		"GET":                       {"", "", map[string][]string{"query": {"{ a }"}, "variables": {"{}"}}, "none query:[a]"},
		"GET twice":                 {"", "", map[string][]string{"query": {"{ a }", "{ b }"}}, "none hidden"},
		"GET by a hash":             {"", "", map[string][]string{"extensions": {"{}"}}, "none hidden"},
		"GET in other letters":      {"", "", map[string][]string{"Query": {"{ a }"}}, "none hidden"},
		"GET of a search":           {"", "", map[string][]string{"query": {"cheap shoes"}}, "none hidden"},
		"GET of nothing":            {"", "", map[string][]string{"page": {"2"}}, "none"},
		"as a form":                 {"application/x-www-form-urlencoded", "query=mutation%7Ba%7D", nil, `unparsed form={"query":["mutation{a}"]} mutation:[a]`},
		"as a form twice":           {"application/x-www-form-urlencoded", "query=%7Ba%7D&query=mutation%7Ba%7D", nil, `unparsed form={"query":["{a}","mutation{a}"]}`},
		"a document":                {"application/graphql", "mutation { a }", nil, "unparsed mutation:[a]"},
		"a document and a name":     {"application/graphql", two, map[string][]string{"operationName": {"B"}}, "unparsed mutation:B[b]"},
		"a document in no charset":  {"application/graphql; charset=utf-16", "{ a }", nil, "unparsed"},
		"no document":               {kind, j("type A { a: Int }"), nil, "parsed"},
		"no end":                    {kind, j("{ a"), nil, "parsed"},
		"deep":                      {kind, j(strings.Repeat("{a", 1000) + strings.Repeat("}", 1000)), nil, "parsed query:[a]"},
		"too deep":                  {kind, j(strings.Repeat("{a", 2000) + strings.Repeat("}", 2000)), nil, "parsed"},
		"no request":                {kind, `{"a": 1}`, nil, "parsed"},
		"a text":                    {kind, `"{ a }"`, nil, "parsed"},
	} {
		if got := seen(c.kind, nil, c.query, c.body); got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
}

// JSON-RPC is all of its messages, or it is not known (hostile 83).
func TestRPC(t *testing.T) {
	for _, c := range []struct{ body, want string }{
		{`{"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "rm", "arguments": {"x": 1}}}`, "request:tools/call(rm)"},
		{`{"method": "initialized"}`, "notification:initialized()"},
		{`{"jsonrpc": "2.0", "id": "a", "result": {}}`, "response:()"},
		{`{"jsonrpc": "2.0", "id": null, "error": {}}`, "response:()"},
		{`[{"method": "a", "id": 1}, {"method": "tools/call", "params": {"name": "rm"}}]`, "request:a() notification:tools/call(rm)"},
		{`[]`, ""}, {`[1]`, ""}, {`[[{"method": "a"}]]`, ""}, {`{}`, ""}, {`{"id": 1}`, ""}, {`1`, ""},
		{`[{"method": "a"}, {"x": 1}]`, ""},
		{`{"METHOD": "b"}`, ""}, {`{"method": "a", "ſmethod": 1}`, "notification:a()"}, {`{"paramſ": {}, "method": "a"}`, ""},
		{`{"method": ["a"]}`, ""}, {`{"method": "a", "id": {}}`, ""}, {`{"method": "a", "result": 1}`, ""},
		{`{"method": "tools/call"}`, ""}, {`{"method": "tools/call", "params": ["rm"]}`, ""}, {`{"method": "tools/call", "params": {"name": 1}}`, ""},
	} {
		want := strings.TrimSpace("parsed " + c.want)
		if got := seen("application/json", nil, nil, c.body); got != want {
			t.Errorf("%s: %s, want %s", c.body, got, want)
		}
	}
}
