package credentials

import "fmt"

// A formField is one of a body as HTML forms have.
type formField struct {
	plain
	name string
}

func (f formField) String() string { return "form:" + f.name }

func (f formField) check() error {
	if f.name == "" {
		return fmt.Errorf("the field has no name")
	}
	return nil
}

func isForm(t string) bool { return t == "application/x-www-form-urlencoded" }

// strip is part of put: nobody reads a body that gets nothing.
func (f formField) strip(*Request) bool { return false }

func (f formField) put(r *Request, v Value) error {
	b, err := r.bodyOf(isForm)
	if err != nil {
		return err
	}
	pairs, _ := withoutPair(string(b), f.name)
	v.Secret.use(func(s []byte) { pairs = withPair(pairs, f.name, string(s)) })
	r.replace([]byte(pairs))
	return nil
}
