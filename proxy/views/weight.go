package views

import "encoding/json"

// What a value takes in memory, in bytes, as Go's and as OPA's: about, and rather
// more than less.
const (
	weighsObject = 400
	weighsMember = 250
	weighsOther  = 250
)

// Weight is what a JSON value takes in memory while policy looks at it.
func Weight(v any) int64 {
	switch v := v.(type) {
	case map[string]any:
		n := int64(weighsObject)
		for k, x := range v {
			n += weighsMember + 2*int64(len(k)) + Weight(x)
		}
		return n
	case []any:
		n := int64(weighsOther)
		for _, x := range v {
			n += Weight(x)
		}
		return n
	case string:
		return weighsOther + 2*int64(len(v))
	case json.Number:
		return weighsOther + 2*int64(len(v))
	case nil:
		return 0
	}
	return weighsOther
}
