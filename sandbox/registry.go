package sandbox

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"

	"github.com/google/uuid"
	"github.com/hashicorp/go-memdb"
)

// Errors of a registry.
var (
	ErrNotFound = errors.New("there is no such sandbox")
	ErrExists   = errors.New("a sandbox with this name or identity exists already")
)

// NewID returns a new id: UUIDv7, so that ids sort by time.
func NewID() string { return uuid.Must(uuid.NewV7()).String() }

const table = "sandbox"

func schema() *memdb.DBSchema {
	return &memdb.DBSchema{Tables: map[string]*memdb.TableSchema{table: {Name: table, Indexes: map[string]*memdb.IndexSchema{
		"id":       {Name: "id", Unique: true, Indexer: &memdb.StringFieldIndex{Field: "ID"}},
		"name":     {Name: "name", Unique: true, Indexer: &memdb.StringFieldIndex{Field: "Name"}},
		"identity": {Name: "identity", AllowMissing: true, Indexer: identityIndex{}},
		"label":    {Name: "label", AllowMissing: true, Indexer: &memdb.StringMapFieldIndex{Field: "Labels"}},
	}}}}
}

// identityIndex finds a sandbox by the socket that its traffic comes on.
type identityIndex struct{}

func (identityIndex) FromObject(raw any) (bool, []byte, error) {
	sb, ok := raw.(*Sandbox)
	if !ok {
		return false, nil, fmt.Errorf("not a sandbox: %T", raw)
	}
	if sb.Identity.Peer == "" {
		return false, nil, nil
	}
	return true, identityKey(sb.Identity), nil
}

func (identityIndex) FromArgs(args ...any) ([]byte, error) {
	if len(args) != 1 {
		return nil, errors.New("an identity is one argument")
	}
	id, ok := args[0].(Identity)
	if !ok {
		return nil, fmt.Errorf("not an identity: %T", args[0])
	}
	return identityKey(id), nil
}

func identityKey(id Identity) []byte {
	return []byte(string(id.Way) + "\x00" + id.Peer + "\x00")
}

// An Event is a change that was committed.
type Event struct {
	Sandbox Sandbox
	Deleted bool
}

// A Registry knows the sandboxes. It is safe for concurrent use; readers never
// wait for writers.
type Registry struct {
	db *memdb.MemDB

	mu       sync.Mutex // held from commit to the last event, so that events keep the order of commits
	watchers map[*watcher]struct{}
}

// NewRegistry returns an empty one.
func NewRegistry() *Registry {
	db, err := memdb.NewMemDB(schema())
	if err != nil {
		panic(err) // the schema is a constant
	}
	return &Registry{db: db, watchers: map[*watcher]struct{}{}}
}

// A Tx is one consistent view, or one change. It is good only inside the
// function that it was given to.
type Tx struct {
	txn    *memdb.Txn
	write  bool
	events []Event
}

// View calls read with one consistent view.
func (r *Registry) View(read func(*Tx) error) error {
	txn := r.db.Txn(false)
	defer txn.Abort()
	return read(&Tx{txn: txn})
}

// Update calls change and commits what it did, all of it, unless it returns an
// error. Events follow the commit.
func (r *Registry) Update(change func(*Tx) error) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	tx := &Tx{txn: r.db.Txn(true), write: true}
	defer tx.txn.Abort()
	if err := change(tx); err != nil {
		return err
	}
	tx.txn.Commit()
	for _, ev := range tx.events {
		for w := range r.watchers {
			if !w.send(ev) {
				delete(r.watchers, w)
			}
		}
	}
	return nil
}

func (tx *Tx) first(index string, arg any) (*Sandbox, error) {
	raw, err := tx.txn.First(table, index, arg)
	if err != nil {
		return nil, err
	}
	if raw == nil {
		return nil, ErrNotFound
	}
	return raw.(*Sandbox), nil
}

func out(sb *Sandbox, err error) (*Sandbox, error) {
	if err != nil {
		return nil, err
	}
	c := sb.clone()
	return &c, nil
}

// Get returns a copy of the sandbox with an id.
func (tx *Tx) Get(id string) (*Sandbox, error) { return out(tx.first("id", id)) }

// ByName returns a copy of the sandbox with a name.
func (tx *Tx) ByName(name string) (*Sandbox, error) { return out(tx.first("name", name)) }

// ByIdentity returns a copy of the sandbox whose traffic comes in like that.
func (tx *Tx) ByIdentity(id Identity) (*Sandbox, error) { return out(tx.first("identity", id)) }

// List returns copies of the sandboxes that have all the labels, by id.
func (tx *Tx) List(labels map[string]string) ([]Sandbox, error) {
	index, args := "id", []any(nil)
	for k, v := range labels { // one index narrows, the rest is compared
		index, args = "label", []any{k, v}
		break
	}
	it, err := tx.txn.Get(table, index, args...)
	if err != nil {
		return nil, err
	}
	var all []Sandbox
	for raw := it.Next(); raw != nil; raw = it.Next() {
		sb := raw.(*Sandbox)
		if !slices.ContainsFunc(slices.Collect(maps.Keys(labels)), func(k string) bool { v, ok := sb.Labels[k]; return !ok || v != labels[k] }) {
			all = append(all, sb.clone())
		}
	}
	slices.SortFunc(all, func(a, b Sandbox) int { return cmpString(a.ID, b.ID) })
	return all, nil
}

func cmpString(a, b string) int {
	if a < b {
		return -1
	} else if a > b {
		return 1
	}
	return 0
}

// Put creates a sandbox or replaces the one with its id. A name, and an
// identity, belong to one sandbox.
func (tx *Tx) Put(sb *Sandbox) error {
	if !tx.write {
		return errors.New("a view cannot change anything")
	}
	if sb.ID == "" || sb.Name == "" {
		return errors.New("a sandbox needs an id and a name")
	}
	if other, err := tx.first("name", sb.Name); err == nil && other.ID != sb.ID {
		return fmt.Errorf("%w: name %q", ErrExists, sb.Name)
	}
	if sb.Identity.Peer != "" {
		if other, err := tx.first("identity", sb.Identity); err == nil && other.ID != sb.ID {
			return fmt.Errorf("%w: identity %s %s", ErrExists, sb.Identity.Way, sb.Identity.Peer)
		}
	}
	c := sb.clone()
	if err := tx.txn.Insert(table, &c); err != nil {
		return err
	}
	tx.events = append(tx.events, Event{Sandbox: c.clone()})
	return nil
}

// Delete removes the sandbox with an id.
func (tx *Tx) Delete(id string) error {
	if !tx.write {
		return errors.New("a view cannot change anything")
	}
	sb, err := tx.first("id", id)
	if err != nil {
		return err
	}
	if err := tx.txn.Delete(table, sb); err != nil {
		return err
	}
	tx.events = append(tx.events, Event{Sandbox: sb.clone(), Deleted: true})
	return nil
}

// clone copies what could be changed through a copy. Props hold JSON values.
func (s *Sandbox) clone() Sandbox {
	c := *s
	c.Labels = maps.Clone(s.Labels)
	c.Policy = slices.Clone(s.Policy)
	c.Bindings, c.Vias = slices.Clone(s.Bindings), slices.Clone(s.Vias)
	if s.Props != nil {
		c.Props = cloneJSON(s.Props).(map[string]any)
	}
	return c
}

func cloneJSON(v any) any {
	switch v := v.(type) {
	case map[string]any:
		out := make(map[string]any, len(v))
		for k, x := range v {
			out[k] = cloneJSON(x)
		}
		return out
	case []any:
		out := make([]any, len(v))
		for i, x := range v {
			out[i] = cloneJSON(x)
		}
		return out
	}
	return v
}
