package canon

import "strings"

// A GRPC is a form of gRPC that a content type declares. The zero GRPC is none.
type GRPC int

const (
	NoGRPC      GRPC = iota
	GRPCPlain        // application/grpc
	GRPCWeb          // application/grpc-web
	GRPCWebText      // application/grpc-web-text: in base64
)

// GRPCOf reads a content type, with a message format behind a plus or without.
func GRPCOf(contentType string) GRPC {
	t, _, _ := strings.Cut(strings.ToLower(contentType), ";")
	t, _, _ = strings.Cut(strings.TrimSpace(t), "+")
	switch t {
	case "application/grpc":
		return GRPCPlain
	case "application/grpc-web":
		return GRPCWeb
	case "application/grpc-web-text":
		return GRPCWebText
	}
	return NoGRPC
}

// Method reads the target of a gRPC request, which is /service/method and
// nothing else: no server decodes it, so what is encoded, empty, behind a third
// slash or in a query would be another method to it than to a policy (hostile 92).
func Method(verb, rawPath string, query bool) (service, method string, err error) {
	service, method, ok := strings.Cut(strings.TrimPrefix(rawPath, "/"), "/")
	switch {
	case verb != "POST":
		return "", "", invalid("grpc_invalid", "a gRPC request is a POST")
	case query:
		return "", "", invalid("grpc_invalid", "a gRPC request has no query")
	case !ok || rawPath[0] != '/' || !plainName(service) || !plainName(method):
		return "", "", invalid("grpc_invalid", "the path of a gRPC request is /service/method")
	}
	return service, method, nil
}

// plainName reports whether a name is one that no server reads differently.
func plainName(s string) bool {
	for i := range len(s) {
		switch c := s[i]; {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '_', c == '-':
		case c == '.' && i > 0 && i < len(s)-1 && s[i-1] != '.':
		default:
			return false
		}
	}
	return s != ""
}
