package presets_test

import data.sallyport

# A request as "METHOD URL", where one parameter can stand behind a question mark.
asked(text) := {
	"destination": {"host": host, "host_suffixes": suffixes(host), "port": {"http": 80, "https": 443}[scheme], "scheme": scheme},
	"request": {"method": method, "path": path, "segments": segments(path), "query": query(url), "headers": {}},
} if {
	[method, url] := split(text, " ")
	[scheme, rest] := split(url, "://")
	host := split(rest, "/")[0]
	path := split(concat("", ["/", substring(rest, count(host) + 1, -1)]), "?")[0]
}

suffixes(host) := [concat(".", array.slice(labels, i, count(labels))) |
	labels := split(host, ".")
	some i, _ in labels
]

segments(path) := [replace(s, "%2F", "/") | some s in split(trim_prefix(path, "/"), "/")]

query(url) := {name: [value]} if {
	[_, said] := split(url, "?")
	[name, value] := split(said, "=")
}

query(url) := {} if not contains(url, "?")

held(text) := d.reasons if d := sallyport.egress.decision with input as asked(text)

test_packages[text] if {
	some text, want in {
		"GET https://registry.npmjs.org/left-pad": {"npm"},
		"GET https://registry.npmjs.org/@scope%2Fname": {"npm"},
		"GET https://registry.npmjs.org/left-pad/-/left-pad-1.3.0.tgz": {"npm"},
		"GET https://registry.npmjs.org/-/npm/v1/keys": {"npm"},
		"GET https://registry.npmjs.org/-/npm/v1/attestations/sigstore@1.0.0": {"npm"},
		"POST https://registry.npmjs.org/-/npm/v1/security/advisories/bulk": {"npm audit"},
		"PUT https://registry.npmjs.org/left-pad": set(),
		"GET https://registry.npmjs.org/-/whoami": set(),
		"GET https://registry.npmjs.org//-/whoami": set(),
		"GET https://registry.npmjs.org/-/npm/v1/tokens": set(),
		"POST https://registry.npmjs.org/-/npm/v1/tokens": set(),
		"GET http://registry.npmjs.org/left-pad": set(),
		"GET https://registry.npmjs.org.evil.example/left-pad": set(),
		"GET https://pypi.org/simple/requests/": {"pypi"},
		"GET https://pypi.org/pypi/requests/json": {"pypi"},
		"GET https://files.pythonhosted.org/packages/a/b/requests.whl": {"pypi"},
		"POST https://pypi.org/legacy/": set(),
		"GET https://pypi.org/manage/account/": set(),
		"POST https://upload.pypi.org/legacy/": set(),
		"GET https://index.crates.io/se/rd/serde": {"crates"},
		"GET https://static.crates.io/crates/serde/serde-1.0.0.crate": {"crates"},
		"GET https://crates.io/api/v1/crates/serde/1.0.0/download": {"crates"},
		"GET https://crates.io/api/v1/me": set(),
		"PUT https://crates.io/api/v1/crates/new": set(),
		"GET https://proxy.golang.org/golang.org/x/sys/@v/list": {"go"},
		"GET https://sum.golang.org/lookup/golang.org/x/sys@v0.1.0": {"go"},
		"POST https://proxy.golang.org/": set(),
		"GET https://repo1.maven.org/maven2/org/a/a-1.jar": {"maven"},
		"GET https://plugins.gradle.org/m2/a": {"maven"},
		"GET https://services.gradle.org/distributions/gradle-8-bin.zip": {"maven"},
		"GET https://dl.google.com/dl/android/maven2/a": {"maven"},
		"GET https://dl.google.com/go/go1.tar.gz": set(),
		"GET https://dl.google.com/dl/android/maven2x": set(),
		"PUT https://repo1.maven.org/maven2/org/a/a-1.jar": set(),
		"GET https://rubygems.org/gems/rails-8.gem": {"rubygems"},
		"GET https://rubygems.org/specs.4.8.gz": {"rubygems"},
		"GET https://index.rubygems.org/info/rails": {"rubygems"},
		"GET https://rubygems.org/api/v1/api_key.json": set(),
		"POST https://rubygems.org/api/v1/gems": set(),
		"GET http://deb.debian.org/debian/dists/stable/InRelease": {"debian"},
		"GET https://security.debian.org/debian-security/a.deb": {"debian"},
		"POST http://deb.debian.org/debian/": set(),
		"GET http://archive.ubuntu.com/ubuntu/a.deb": {"ubuntu"},
		"GET http://de.archive.ubuntu.com/ubuntu/a.deb": {"ubuntu"},
		"GET http://ubuntu.com/": set(),
		"GET https://dl-cdn.alpinelinux.org/alpine/v3.20/main/x86_64/APKINDEX.tar.gz": {"alpine"},
		"DELETE https://dl-cdn.alpinelinux.org/alpine/": set(),
		"GET https://example.com/": set(),
	}
	held(text) == want
}

test_git[text] if {
	some text, want in {
		"GET https://github.com/ours/app.git/info/refs?service=git-upload-pack": {"git", "git of ours"},
		"GET https://github.com/Ours/App/info/refs?service=git-upload-pack": {"git", "git of ours"},
		"POST https://github.com/ours/app.git/git-upload-pack": {"git", "git of ours"},
		"POST https://github.com/theirs/app.git/git-upload-pack": {"git"},
		"POST https://github.com/ours/application.git/git-upload-pack": {"git"},
		"POST https://gitlab.com/group/sub/app.git/git-upload-pack": {"git", "git of ours"},
		"POST https://gitlab.com/group/app.git/git-upload-pack": {"git"},
		"POST https://git.example.com/Team/app.git/git-upload-pack": {"git of ours"},
		"POST https://git.example.com/team/app.git/git-upload-pack": set(),
		"GET https://github.com/ours/app.git/info/refs?service=git-receive-pack": set(),
		"GET https://github.com/ours/app.git/info/refs": set(),
		"GET https://github.com/ours/app.git/info/refs?service=git-upload-pack,git-receive-pack": set(),
		"POST https://github.com/ours/app.git/git-receive-pack": set(),
		"POST https://github.com/ours/app.git/git-upload-pack?a=b": set(),
		"POST https://github.com/ours/app.git/git-upload-pack/git-receive-pack": set(),
		"POST https://github.com/theirs/x/../git-receive-pack": set(),
		"POST https://github.com/git-upload-pack": set(),
		"POST https://github.com/app/git-upload-pack": {"git"},
		"POST https://github.com//git-upload-pack": set(),
		"POST https://github.com/ours%2Fapp/git-upload-pack": {"git"},
		"POST http://github.com/ours/app.git/git-upload-pack": set(),
		"GET https://github.com/ours/app": set(),
		"POST https://api.github.com/repos/ours/app/git-upload-pack": set(),
		"POST https://evilgithub.com/ours/app.git/git-upload-pack": set(),
	}
	held(text) == want
}

test_git_service_twice if {
	d := sallyport.egress.decision with input as object.union(asked("GET https://github.com/ours/app.git/info/refs"), {"request": {"query": {"service": ["git-upload-pack", "git-receive-pack"]}}})
	d.reasons == set()
}

test_containers[text] if {
	some text, want in {
		"GET https://registry-1.docker.io/v2/": {"containers", "containers of ours"},
		"GET https://registry-1.docker.io/v2/library/alpine/manifests/latest": {"containers", "containers of ours"},
		"HEAD https://registry-1.docker.io/v2/library/alpine/blobs/sha256:1": {"containers", "containers of ours"},
		"GET https://registry-1.docker.io/v2/library/alpine2/manifests/latest": {"containers"},
		"GET https://registry-1.docker.io/v2/library%2Falpine/manifests/latest": set(),
		"GET https://ghcr.io/v2/ours/app/manifests/1": {"containers", "containers of ours"},
		"GET https://ghcr.io/v2/ours/group/app/manifests/1": {"containers"},
		"GET https://ghcr.io/v2/theirs/app/tags/list": {"containers"},
		"GET https://auth.docker.io/token": {"containers", "containers of ours"},
		"GET https://auth.docker.io/token?scope=repository:library/alpine:pull": {"containers", "containers of ours"},
		"GET https://auth.docker.io/token?scope=repository:library/other:pull": {"containers"},
		"GET https://auth.docker.io/token?scope=repository:library/alpine:pull,push": set(),
		"GET https://auth.docker.io/token?scope=registry:catalog:*": set(),
		"GET https://ghcr.io/token?scope=repository:ours/app:pull": {"containers", "containers of ours"},
		"GET https://quay.io/v2/auth?scope=repository:a/b:pull": {"containers"},
		"GET https://quay.io/v2/a/b/manifests/1": {"containers"},
		"GET https://production.cloudflare.docker.com/registry-v2/docker/registry/v2/blobs/sha256/1/data": {"containers", "containers of ours"},
		"GET https://eastus.data.mcr.microsoft.com/1": {"containers", "containers of ours"},
		"GET https://mcr.microsoft.com/v2/dotnet/sdk/manifests/8": {"containers"},
		"POST https://registry-1.docker.io/v2/library/alpine/blobs/uploads/": set(),
		"PUT https://registry-1.docker.io/v2/library/alpine/manifests/latest": set(),
		"DELETE https://ghcr.io/v2/ours/app/manifests/1": set(),
		"GET https://registry-1.docker.io/v2/_catalog": set(),
		"POST https://auth.docker.io/token": set(),
		"GET https://hub.docker.com/v2/users/login": set(),
	}
	held(text) == want
}

test_models[text] if {
	some text, want in {
		"POST https://api.openai.com/v1/responses": {"openai", "llm"},
		"POST https://api.openai.com/v1/chat/completions": {"openai", "llm"},
		"GET https://api.openai.com/v1/models/gpt": {"openai", "llm"},
		"DELETE https://api.openai.com/v1/models/mine": set(),
		"POST https://api.openai.com/v1/files": set(),
		"GET https://api.openai.com/v1/files": set(),
		"GET https://api.openai.com/v1/responses/1": set(),
		"POST https://api.openai.com/v1/batches": set(),
		"GET https://api.openai.com/v1/organization/admin_api_keys": set(),
		"POST http://api.openai.com/v1/responses": set(),
		"POST https://api.anthropic.com/v1/messages": {"anthropic", "llm"},
		"POST https://api.anthropic.com/v1/messages/count_tokens": {"anthropic", "llm"},
		"GET https://api.anthropic.com/v1/models": {"anthropic", "llm"},
		"POST https://api.anthropic.com/v1/messages/batches": set(),
		"POST https://api.anthropic.com/v1/files": set(),
		"GET https://api.anthropic.com/v1/organizations/users": set(),
		"POST https://api.mistral.ai/v1/chat/completions": {"mistral", "llm"},
		"GET https://api.mistral.ai/v1/models": {"mistral", "llm"},
		"POST https://api.mistral.ai/v1/files": set(),
		"POST https://generativelanguage.googleapis.com/v1beta/models/gemini:generateContent": {"gemini", "llm"},
		"POST https://generativelanguage.googleapis.com/v1beta/models/gemini:streamGenerateContent?alt=sse": {"gemini", "llm"},
		"GET https://generativelanguage.googleapis.com/v1beta/models": {"gemini", "llm"},
		"POST https://generativelanguage.googleapis.com/upload/v1beta/files": set(),
		"POST https://generativelanguage.googleapis.com/v1beta/models/gemini:batchGenerateContent": set(),
		"POST https://generativelanguage.googleapis.com/v1beta/corpora": set(),
		"POST https://generativelanguage.googleapis.com/v1beta/models/a%2Fb:generateContent": set(),
	}
	held(text) == want
}

test_remote_tools[label] if {
	some label, [body, want] in {
		"none": [{"model": "m"}, false],
		"a function": [{"tools": [{"type": "function", "function": {"name": "f"}}]}, false],
		"a tool of the caller's": [{"tools": [{"name": "f", "input_schema": {}}]}, false],
		"one that the caller runs": [{"tools": [{"type": "bash_20250124", "name": "bash"}]}, false],
		"declarations": [{"tools": [{"functionDeclarations": []}]}, false],
		"a search": [{"tools": [{"type": "function"}, {"type": "web_search"}]}, true],
		"a search, dated": [{"tools": [{"type": "web_search_20250305", "name": "web_search"}]}, true],
		"a page": [{"tools": [{"type": "web_fetch_20250910", "name": "web_fetch"}]}, true],
		"a server": [{"tools": [{"type": "mcp", "server_url": "https://evil.example"}]}, true],
		"servers": [{"mcp_servers": [{"url": "https://evil.example"}]}, true],
		"a search among declarations": [{"tools": [{"functionDeclarations": []}, {"google_search": {}}]}, true],
		"both in one": [{"tools": [{"functionDeclarations": [], "urlContext": {}}]}, true],
		"options of a search": [{"web_search_options": {}}, true],
		"plugins": [{"plugins": [{"id": "web"}]}, true],
	}
	d := sallyport.egress.decision with input as object.union(asked("POST https://api.openai.com/v1/responses"), {"request": {"body": body, "body_state": "parsed"}})
	d.deny == {"remote_tools" | want}
}
