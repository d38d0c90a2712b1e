# Where credentials are made: requests after which whoever sent them has a new key or
# token, or an account has more rights. sallyport.guards.minting denies them.
package sallyport.packs.minting

# services are those of clouds that do little else, by a label of their names below a
# domain, since there is one for each region: sts.eu-west-1.amazonaws.com.
services := {
	"amazonaws.com": aws,
	"amazonaws.com.cn": aws,
	"api.aws": aws,
	"googleapis.com": {"iamcredentials", "oauth2", "securetoken", "sts"},
}

aws := {
	"cognito-identity",
	"cognito-identity-fips",
	"iam",
	"iam-fips",
	"oidc",
	"rolesanywhere",
	"signin",
	"sso",
	"sts",
	"sts-fips",
}

# writes are requests that change something, by host and path, with what they make. A path is
# in lower case and has a slash at its end, as lib.bare_path; * is one segment, ** any.
writes := {
	"api.github.com": {
		"/app-manifests/*/conversions/": "GitHub App",
		"/app/installations/*/access_tokens/": "GitHub App's token",
		"/applications/*/token/**": "OAuth token",
		"/enterprises/*/actions/runners/**": "registration of a runner",
		"/orgs/*/actions/runners/**": "registration of a runner",
		"/orgs/*/invitations/**": "member of an organisation",
		"/orgs/*/memberships/**": "member of an organisation",
		"/orgs/*/teams/*/memberships/**": "member of a team",
		"/repos/*/*/actions/runners/**": "registration of a runner",
		"/repos/*/*/collaborators/**": "collaborator",
		"/repos/*/*/keys/**": "deploy key",
		"/user/gpg_keys/**": "key of a user",
		"/user/keys/**": "key of a user",
		"/user/ssh_signing_keys/**": "key of a user",
	},
	"github.com": {
		"/login/device/**": "OAuth token",
		"/login/oauth/**": "OAuth token",
		"/settings/**": "token or key of a user",
	},
	"gitlab.com": {
		"/-/user_settings/**": "token or key of a user",
		"/api/v4/groups/**/access_tokens/**": "token of a group",
		"/api/v4/groups/**/deploy_tokens/**": "deploy token",
		"/api/v4/groups/**/members/**": "member of a group",
		"/api/v4/personal_access_tokens/**": "token of a user",
		"/api/v4/projects/**/access_tokens/**": "token of a project",
		"/api/v4/projects/**/deploy_keys/**": "deploy key",
		"/api/v4/projects/**/deploy_tokens/**": "deploy token",
		"/api/v4/projects/**/members/**": "member of a project",
		"/api/v4/projects/**/triggers/**": "trigger of pipelines",
		"/api/v4/runners/**": "registration of a runner",
		"/api/v4/user/**": "token or key of a user",
		"/api/v4/users/**": "token or key of a user",
		"/oauth/**": "OAuth token",
	},
	"accounts.google.com": {"/o/oauth2/**": "OAuth token"},
	"apikeys.googleapis.com": {"/**": "API key"},
	"cloudresourcemanager.googleapis.com": {"/**:setiampolicy/": "rights"},
	"iam.googleapis.com": {"/**": "key or rights of a service account"},
	"storage.googleapis.com": {"/storage/v1/projects/*/hmackeys/**": "HMAC key"},
	"www.googleapis.com": {"/oauth2/**": "OAuth token"},
	"login.chinacloudapi.cn": {"/**": "token of Entra ID"},
	"login.microsoft.com": {"/**": "token of Entra ID"},
	"login.microsoftonline.com": {"/**": "token of Entra ID"},
	"login.microsoftonline.us": {"/**": "token of Entra ID"},
	"login.partner.microsoftonline.cn": {"/**": "token of Entra ID"},
	"login.windows.net": {"/**": "token of Entra ID"},
	"sts.windows.net": {"/**": "token of Entra ID"},
	"graph.microsoft.com": {
		"/*/$batch/": "what a batch hides",
		"/*/applications/**": "key of an application",
		"/*/oauth2permissiongrants/**": "rights",
		"/*/serviceprincipals/**": "key of a service principal",
	},
	"management.azure.com": {
		"/**/list*credential*/": "credential of a cluster or registry",
		"/**/list*keys/": "key",
		"/**/list*sas/": "shared access signature",
		"/**/regeneratekey/": "key",
		"/**/roleassignments/**": "rights",
		"/batch/": "what a batch hides",
	},
	"api.cloudflare.com": {
		"/client/v4/accounts/*/tokens/**": "token of an account",
		"/client/v4/user/tokens/**": "token of a user",
	},
	"registry.npmjs.org": {
		"/-/npm/v1/oidc/**": "npm token",
		"/-/npm/v1/tokens/**": "npm token",
		"/-/org/**": "member of an organisation",
		"/-/package/**": "rights to a package",
		"/-/team/**": "member of a team",
		"/-/user/**": "npm token",
		"/-/v1/login/**": "npm token",
	},
	"pypi.org": {"/_/oidc/**": "PyPI token", "/manage/**": "PyPI token"},
	"crates.io": {"/api/v1/me/tokens/**": "token of crates.io", "/api/v1/trusted_publishing/**": "token of crates.io"},
	"hub.docker.com": {
		"/v2/access-tokens/**": "token of Docker Hub",
		"/v2/auth/**": "token of Docker Hub",
		"/v2/orgs/*/access-tokens/**": "token of Docker Hub",
		"/v2/users/login/**": "token of Docker Hub",
	},
	"api.openai.com": {
		"/v1/chatkit/sessions/**": "secret for clients",
		"/v1/realtime/client_secrets/**": "secret for clients",
		"/v1/realtime/sessions/**": "secret for clients",
		"/v1/realtime/transcription_sessions/**": "secret for clients",
	},
	"auth.openai.com": {"/**": "OAuth token"},
	"console.anthropic.com": {"/**": "OAuth token or API key"},
	"platform.claude.com": {"/**": "OAuth token or API key"},
}

# closed are requests of any method, as writes: what administers the accounts in which keys are made.
closed := {
	"api.openai.com": {"/v1/organization/**": "administration of OpenAI"},
	"api.anthropic.com": {
		"/api/oauth/**": "OAuth token or API key",
		"/v1/organizations/**": "administration of Anthropic",
	},
	"openrouter.ai": {"/api/v1/auth/**": "API key", "/api/v1/keys/**": "API key"},
	"rubygems.org": {"/api/v1/api_key*/**": "API key"},
}
