package proxy

import (
	"bytes"
	"io"
	"net/http"
	"strconv"

	"sallyport/policy"
	"sallyport/proxy/views"
)

// digests are fields that say of a body what is not true of an edited one.
var digests = []string{"Content-Digest", "Repr-Digest", "Digest", "Content-Md5"}

// patched is a body with the edits of a policy; nil means that nothing is edited.
// Where the body is not known whole there is none (hostile 412).
func patched(ps []policy.Patch, state policy.BodyState, body any) ([]byte, *Refusal) {
	if len(ps) == 0 || state == policy.BodyNone && policy.Removes(ps) {
		return nil, nil
	}
	if state != policy.BodyParsed {
		return nil, refuse(http.StatusForbidden, policy.CodeUncertain, "the policy edits a body that is not known").operator("the body is %s", state)
	}
	b, err := views.Patch(body, ps)
	if err != nil {
		return nil, refuse(http.StatusForbidden, policy.CodePolicyError, "the policy edits a part that the body does not have").because(err)
	}
	return b, nil
}

// edit makes the body what the policy makes of it. Policy sees the original in later
// phases.
func (x *exchange) edit() error {
	b, ref := patched(x.decision.Patch, x.facts.BodyState, x.facts.Body)
	if ref != nil {
		return ref
	}
	if b == nil {
		return nil
	}
	if err := (room{x}).Hold(int64(len(b))); err != nil {
		return err
	}
	x.edited, x.whole, x.resized, x.size = true, b, true, int64(len(b))
	x.body.Reader = bytes.NewReader(b)
	return nil
}

// unsigned takes fields off that are of the body that was.
func unsigned(h http.Header) {
	for _, k := range append([]string{"Content-Encoding"}, digests...) {
		h.Del(k)
	}
}

// editAnswer makes the body of an answer what the policy makes of it.
func (x *exchange) editAnswer(resp *http.Response, ps []policy.Patch, f *policy.ResponseFacts) *Refusal {
	b, ref := patched(ps, f.BodyState, f.Body)
	if ref != nil || b == nil {
		return ref
	}
	b = []byte(x.srv.cfg.Credentials.RedactString(string(b)))
	unsigned(resp.Header)
	resp.Header.Del("Etag")
	resp.Header.Set("Content-Length", strconv.Itoa(len(b)))
	resp.ContentLength, resp.TransferEncoding, resp.Trailer = int64(len(b)), nil, nil
	resp.Body = replaced{bytes.NewReader(b), resp.Body}
	for _, p := range ps {
		x.result.Edits = append(x.result.Edits, p.Path)
	}
	return nil
}

// A replaced body is read elsewhere than it is closed.
type replaced struct {
	io.Reader
	io.Closer
}

// readAnswer makes the facts of an answer's body, if policy can read or edit it:
// those of JSON that comes to no more than policy sees. It waits for as much.
func (x *exchange) readAnswer(resp *http.Response, f *policy.ResponseFacts) *Refusal {
	if !x.ward.policy.Reads(policy.Response, "response", "body") || f.BodyState == policy.BodyNone || resp.StatusCode == http.StatusPartialContent || !views.IsJSON(f.ContentType) {
		return nil
	}
	if err := (room{x}).Hold(inspectLimit * inspectCost); err != nil {
		return refusalOf(err)
	}
	head, err := io.ReadAll(io.LimitReader(resp.Body, inspectLimit+1))
	if err != nil {
		if e := ended(x.cause); e != nil {
			return e.ref
		}
		if ref := lateness(x.cause); ref != nil {
			return ref
		}
		return refusalOf(x.dial.unclear(err))
	}
	resp.Body = replaced{io.MultiReader(bytes.NewReader(head), resp.Body), resp.Body}
	f.Body, f.BodyState = views.Answer(f.ContentType, resp.Header.Values("Content-Encoding"), head)
	if more := views.Weight(f.Body) - inspectLimit*inspectCost; more > 0 {
		if err := (room{x}).Hold(more); err != nil {
			return refusalOf(err)
		}
	}
	return nil
}
