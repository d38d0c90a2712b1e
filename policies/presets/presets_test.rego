package egress_test

import data.sallyport

asked(host, method, path) := {
	"destination": {"host": host, "host_suffixes": [host], "port": 443, "scheme": "https"},
	"request": {"method": method, "path": path, "segments": split(trim_prefix(path, "/"), "/"), "query": {}},
}

# One request for each preset of run, and one beside it.
test_presets[name] if {
	some name, [host, method, granted, refused] in {
		"npm": ["registry.npmjs.org", "GET", "/left-pad", "/-/whoami"],
		"pypi": ["pypi.org", "GET", "/simple/requests/", "/manage/"],
		"crates": ["crates.io", "GET", "/api/v1/crates/serde/1.0.0/download", "/api/v1/me"],
		"maven": ["repo1.maven.org", "GET", "/maven2/a", "/maven1/a"],
		"rubygems": ["rubygems.org", "GET", "/gems/a.gem", "/api/v1/api_key"],
		"git": ["github.com", "POST", "/a/b.git/git-upload-pack", "/a/b.git/git-receive-pack"],
		"openai": ["api.openai.com", "POST", "/v1/responses", "/v1/files"],
		"anthropic": ["api.anthropic.com", "POST", "/v1/messages", "/v1/files"],
		"mistral": ["api.mistral.ai", "POST", "/v1/chat/completions", "/v1/files"],
		"gemini": ["generativelanguage.googleapis.com", "POST", "/v1/models/a:generateContent", "/v1/files"],
		"containers": ["ghcr.io", "GET", "/v2/a/b/manifests/1", "/v2/_catalog"],
		"go": ["proxy.golang.org", "GET", "/golang.org/x/sys/@v/list", null],
		"debian": ["deb.debian.org", "GET", "/debian/a.deb", null],
		"ubuntu": ["archive.ubuntu.com", "GET", "/ubuntu/a.deb", null],
		"alpine": ["dl-cdn.alpinelinux.org", "GET", "/alpine/a.apk", null],
	}
	sallyport.egress.decision.allow with input as asked(host, method, granted)
	not _allowed(host, method, refused)
	not sallyport.egress.decision.allow with input as asked(host, "DELETE", granted)
}

_allowed(host, method, path) if {
	path != null
	sallyport.egress.decision.allow with input as asked(host, method, path)
}
