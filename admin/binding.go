package admin

import (
	"bytes"
	"encoding/json"
)

// A Binding is where a name leads that exists only inside. In JSON it is a text
// when there is nothing beside To.
type Binding struct {
	To         string      `json:"to"` // http(s)://HOST[:PORT][/PREFIX], or tcp://HOST:PORT for raw TCP, without scheme where the name has a port
	Credential string      `json:"credential,omitempty"`
	Host       string      `json:"host,omitempty"` // which Host the target sees: target, which is the default, or inside
	TLS        *BindingTLS `json:"tls,omitempty"`
}

// A BindingTLS says how the target proves who it is. Keys are not taken here.
type BindingTLS struct {
	CA         string `json:"ca,omitempty"` // PEM
	ServerName string `json:"server_name,omitempty"`
}

// A Via is a service of the operator's that carries what goes to some destinations.
type Via struct {
	Match       string `json:"match"`
	To          string `json:"to"`
	Credentials bool   `json:"credentials,omitempty"`
	Key         string `json:"key"` // names it, and tells nothing of it
}

// MarshalJSON writes a text where that says all.
func (b Binding) MarshalJSON() ([]byte, error) {
	if b == (Binding{To: b.To}) {
		return json.Marshal(b.To)
	}
	type whole Binding
	return json.Marshal(whole(b))
}

// UnmarshalJSON reads a text, or an object without fields that there are not.
func (b *Binding) UnmarshalJSON(in []byte) error {
	*b = Binding{}
	if len(in) > 0 && in[0] == '"' {
		return json.Unmarshal(in, &b.To)
	}
	type whole Binding
	d := json.NewDecoder(bytes.NewReader(in))
	d.DisallowUnknownFields()
	return d.Decode((*whole)(b))
}
