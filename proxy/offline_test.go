package proxy

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"

	"sallyport/policy"
	"sallyport/sandbox"
)

// readsAll is a policy that reads everything.
type readsAll struct{}

func (readsAll) Decide(context.Context, *policy.Question) *policy.Decision { return nil }
func (readsAll) Has(policy.Phase) bool                                     { return true }
func (readsAll) Reads(policy.Phase, ...string) bool                        { return true }

// The front makes a question of a request that came by no connection.
func TestQuestionOf(t *testing.T) {
	ask := func(method, url, body string) (*policy.Question, *Refusal, error) {
		r, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", "application/json")
		return QuestionOf(t.Context(), &sandbox.Sandbox{}, readsAll{}, r)
	}
	q, barred, err := ask("POST", "https://API.example.com/a%2Fb?x=1", `{"a": 1}`)
	if err != nil || barred != nil || q.Request.BodyState != policy.BodyParsed || q.Request.Size != 8 || q.Request.Segments[0] != "a/b" ||
		q.Destination.Addr.String() != "api.example.com:443" || q.Destination.SNI != "api.example.com" || q.Destination.Scheme != "https" {
		t.Errorf("%+v %v %v", q, barred, err)
	}
	if _, barred, err := ask("GET", "http://api.example.com:25/", ""); err != nil || barred == nil || barred.Code != "port_denied" {
		t.Errorf("%v %v", barred, err)
	}
	var ref *Refusal
	if _, _, err := ask("TRACE", "http://api.example.com/", ""); !errors.As(err, &ref) || ref.Code != "method_denied" {
		t.Errorf("%v", err)
	}
}
