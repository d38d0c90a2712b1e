package egress_test

import data.sallyport

# A request as "METHOD host/path", for guards that look at nothing else.
asked(text) := {
	"destination": {"host": host, "host_suffixes": suffixes(host), "port": 443, "scheme": "https"},
	"request": {"method": method, "path": concat("", ["/", substring(rest, count(host) + 1, -1)]), "query": {}, "headers": {}},
} if {
	[method, rest] := split(text, " ")
	host := split(rest, "/")[0]
}

suffixes(host) := [concat(".", array.slice(labels, i, count(labels))) |
	labels := split(host, ".")
	some i, _ in labels
]

codes(text) := {x.code | some x in d.deny} if {
	d := sallyport.egress.decision with input as asked(text)
	d.allow
	d.websocket
}

test_minting[text] if {
	some text in [
		"POST sts.amazonaws.com/",
		"GET sts.eu-west-1.amazonaws.com/",
		"POST vpce-1.sts.us-east-1.vpce.amazonaws.com/",
		"POST iam.amazonaws.com/",
		"POST sts.cn-north-1.amazonaws.com.cn/",
		"GET portal.sso.us-east-1.amazonaws.com/federation/credentials",
		"POST iamcredentials.googleapis.com/v1/projects/-/serviceAccounts/a:generateAccessToken",
		"POST iamcredentials.mtls.googleapis.com/v1/x",
		"POST oauth2.googleapis.com/token",
		"POST iam.googleapis.com/v1/projects/p/serviceAccounts/a/keys",
		"POST cloudresourcemanager.googleapis.com/v1/projects/p:setIamPolicy",
		"POST login.microsoftonline.com/tenant/oauth2/v2.0/token",
		"POST graph.microsoft.com/v1.0/applications/1/addPassword",
		"POST graph.microsoft.com/v1.0/$batch",
		"POST management.azure.com/subscriptions/1/resourceGroups/g/providers/Microsoft.Storage/storageAccounts/s/listKeys",
		"PUT management.azure.com/subscriptions/1/providers/Microsoft.Authorization/roleAssignments/2",
		"POST api.github.com/app/installations/1/access_tokens",
		"POST api.github.com/repos/a/b/keys",
		"POST api.github.com/REPOS/a/b/Keys",
		"POST api.github.com//repos/a/b/keys/",
		"PUT api.github.com/repos/a/b/collaborators/c",
		"POST api.github.com/orgs/a/actions/runners/registration-token",
		"POST github.com/login/oauth/access_token",
		"POST gitlab.com/api/v4/projects/1/access_tokens",
		"POST gitlab.com/api/v4/projects/group%2Fproject/deploy_keys",
		"POST registry.npmjs.org/-/npm/v1/tokens",
		"PUT registry.npmjs.org/-/user/org.couchdb.user:me",
		"POST pypi.org/_/oidc/mint-token",
		"PUT crates.io/api/v1/me/tokens",
		"GET rubygems.org/api/v1/api_key.json",
		"GET rubygems.org/api/v1/api_key",
		"GET api.openai.com/v1/organization/admin_api_keys",
		"POST api.openai.com/v1/realtime/client_secrets",
		"POST api.anthropic.com/v1/organizations/api_keys/1",
		"POST api.anthropic.com/api/oauth/claude_cli/create_api_key",
		"POST console.anthropic.com/v1/oauth/token",
		"POST openrouter.ai/api/v1/keys",
		"POST hub.docker.com/v2/users/login",
	]
	codes(text) == {"credential_minting"}
}

test_relays[text] if {
	some text in [
		"GET translate.google.com/translate",
		"GET www-example-com.translate.goog/",
		"GET webhook.site/1",
		"POST a.ngrok-free.app/x",
		"POST transfer.sh/a",
		"GET r.jina.ai/https://example.com/",
		"POST api.github.com/gists",
		"POST discord.com/api/webhooks/1/t",
		"POST discord.com/api/v10/webhooks/1/t",
		"POST gitlab.com/api/v4/projects/group%2Fproject/hooks",
	]
	codes(text) == {"open_relay"}
}

test_metadata[text] if {
	some text in ["GET 169.254.169.254/latest/meta-data/", "GET metadata.google.internal/computeMetadata/v1/"]
	codes(text) == {"cloud_metadata"}
}

# What stands beside all that is left to the other layer.
test_left_alone[text] if {
	some text in [
		"GET api.github.com/repos/a/b",
		"GET api.github.com/repos/a/b/keys",
		"POST api.github.com/repos/a/b/issues",
		"POST github.com/a/b.git/git-upload-pack",
		"GET gitlab.com/api/v4/projects/1",
		"POST gitlab.com/api/v4/projects/1/issues",
		"GET s3.eu-west-1.amazonaws.com/sts/iam",
		"POST bedrock-runtime.us-east-1.amazonaws.com/model/m/invoke",
		"GET storage.googleapis.com/bucket/object",
		"POST aiplatform.googleapis.com/v1/x",
		"GET login.microsoftonline.com/common/discovery/v2.0/keys",
		"GET management.azure.com/subscriptions",
		"GET registry.npmjs.org/left-pad",
		"GET pypi.org/simple/requests/",
		"GET crates.io/api/v1/crates/serde/1.0.0/download",
		"POST api.openai.com/v1/responses",
		"POST api.anthropic.com/v1/messages",
		"GET discord.com/",
		"GET translate.goog/",
		"GET ngrok.io.example.com/",
		"GET sts.example.com/",
		"GET amazonaws.com.evil.example/sts",
	]
	codes(text) == set()
}

test_url_in_query[value] if {
	some value, want in {
		"https://evil.example/": {"url_in_query"},
		" HTTP://evil.example/": {"url_in_query"},
		"//evil.example/": {"url_in_query"},
		"ftp://evil.example/": {"url_in_query"},
		"about https://example.com": set(),
		"a": set(),
	}
	d := sallyport.egress.decision with input as asked("GET images.example.com/resize") with input.request.query as {"w": ["100"], "src": ["a", value]}
	{x.code | some x in d.deny} == want
}

test_unread[host] if {
	some host, want in {
		"sts.amazonaws.com": {"credential_minting"},
		"a.trycloudflare.com": {"open_relay"},
		"169.254.169.254": {"cloud_metadata"},
		"db.example.com": set(),
	}
	d := sallyport.connect.decision with input as asked(concat("", ["GET ", host, "/"]))
	d.allow
	d.opaque
	{x.code | some x in d.deny} == want
}

test_names_are_left_to_others if {
	d := sallyport.dns.decision with input as {"question": {"name": "example.com", "type": "TXT"}}
	d.allow
}
