package sidecar

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Whatever is said wrongly of a source is answered at its place, and nothing that
// may be a secret is repeated.
func TestWrongSources(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{"secret": "a secret of a client", "short": "x", "key": "no key at all"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	const good = "grant: client_credentials, token_url: \"https://a.example/t\", client_id: x, client_secret: \"file:secret\""
	for source, want := range map[string]string{
		"{oauth2: {" + good + "}}": "",
		"{from: \"file:secret\"}":  "",
		"{}":                       "1:24: credentials[0].source: expected env:VARIABLE, file:PATH, systemd:NAME, fd:NUMBER, or one of the keys oauth2, exec",
		"{from: \"file:secret\", oauth2: {" + good + "}}":                                             "a secret has one source, and here are from and oauth2",
		"{github_app: {app_id: x, installation_id: us, key: \"file:key\"}}":                           "github_app: installation_id is a number",
		"{github_app: {app_id: x, installation_id: 42, key: \"file:key\"}}":                           "the key in file:" + dir + "/key: it is no PEM",
		"{aws: {role_arn: reader, region: x, web_identity_token: \"file:secret\"}}":                   "aws: role_arn: expected arn:aws:iam::ACCOUNT:role/NAME",
		"{aws: {access_key_id: \"file:secret\"}}":                                                     "aws: access_key_id and secret_access_key come together",
		"{aws: {access_key_id: \"file:secret\", secret_access_key: \"file:secret\"}}":                 "",
		"{gcp: {key: \"file:key\", scopes: [a]}}":                                                     "gcp: file:" + dir + "/key: it is no object of JSON",
		"{vault: {url: \"https://v.example\", path: secret/data/x, field: y}}":                        "vault: expected one way to log in: token, approle or kubernetes",
		"{vault: {url: \"https://v.example\", path: secret/data/x, field: y, token: \"file:short\"}}": "",
		"{vault: {url: \"http://v.example\", path: secret/data/x, field: y, token: \"file:short\"}}":  "vault.url: http is only for this machine's own addresses",
		"{age: {file: secret, identity: \"file:key\"}}":                                               "age: age:" + dir + "/secret: file:" + dir + "/key has no identity of age",
		"{age: {file: secret}}": "age: identity is missing",
		"systemd:none":          "there is no CREDENTIALS_DIRECTORY",
		"fd:1":                  "a descriptor is a number from 3 on",
		"{exec: {protocol: raw, command: [echo]}}":                 "exec: a program is named by its absolute path",
		"{exec: {protocol: shell, command: [/bin/echo]}}":          "exec: protocol \"shell\": expected exec_credential, aws_process, git, docker or raw",
		"{exec: {protocol: raw, command: [/bin/echo, hush-hush]}}": "",
		"{oauth2: {}}": "credentials[0].source.oauth2: grant is missing",
		"{oauth2: x}":  "credentials[0].source.oauth2: expected a mapping, found a text",
		"{oauth: {}}":  "there is no such key (did you mean oauth2?)",
		"{oauth2: {grant: password, token_url: \"https://a.example\"}}":                 "grant \"password\": expected client_credentials",
		"{oauth2: {grant: client_credentials, token_url: \"https://a.example\"}}":       "client_credentials need a client_secret",
		"{oauth2: {" + good + ", auth: private_key_jwt}}":                               "auth private_key_jwt and client_secret do not go together",
		"{oauth2: {" + strings.Replace(good, "file:secret", "hunter2hunter2", 1) + "}}": "client_secret: expected env:VARIABLE, file:PATH, systemd:NAME or fd:NUMBER; what stands here is not repeated",
		"{oauth2: {" + strings.Replace(good, "file:secret", "file:nope", 1) + "}}":      "client_secret: file:" + dir + "/nope: open " + dir + "/nope: no such file",
		"{oauth2: {" + strings.Replace(good, "file:secret", "file:short", 1) + "}}":     "",
		"{from: \"file:short\"}": "shorter than 8 bytes",
		"{oauth2: {" + strings.Replace(good, "https", "http", 1) + "}}":                                          "token_url: http is only for this machine's own addresses",
		"{oauth2: {" + strings.Replace(good, "https", "http", 1) + ", allow_http: true}}":                        "",
		"{oauth2: {" + strings.Replace(good, "https://a.example", "http://127.0.0.1:1", 1) + "}}":                "",
		"{oauth2: {" + strings.Replace(good, "https://", "https://user:hunter2@", 1) + "}}":                      "token_url: a user and password have no place in the URL",
		"{oauth2: {" + good + ", ca: secret}}":                                                                   "oauth2.ca: there is no PEM certificate in " + dir + "/secret",
		"{oauth2: {" + good + ", key: \"file:key\"}}":                                                            "oauth2.key: the key in file:" + dir + "/key: it is no PEM",
		"{oauth2: {" + good + ", issuer: x}}":                                                                    "oauth2.issuer: it is for assertions, which key signs",
		"{oauth2: {" + good + ", choose: [client_id]}}":                                                          "choose \"client_id\": expected scope, audience or resource",
		"{oauth2: {" + good + ", timeout: 5}}":                                                                   "oauth2.timeout: expected a duration with its unit",
		"{oauth2: {grant: refresh_token, token_url: \"https://a.example\", client_id: x}}":                       "refresh_token needs a token",
		"{oauth2: {grant: token_exchange, token_url: \"https://a.example\", token: \"file:secret\", key: \"\"}}": "oauth2.key: expected a text, found a text",
	} {
		file := filepath.Join(dir, "x.yaml")
		text := "credentials: [{source: " + source + ", name: x, bind: \"https://b.example\"}]\nstate: " + dir + "\n"
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := Check(t.Context(), file, true)
		switch {
		case want == "" && err != nil:
			t.Errorf("%s: %v", source, err)
		case want != "" && (err == nil || !strings.Contains(err.Error(), want)):
			t.Errorf("%s is answered\n%v\nand not %s", source, err, want)
		case err != nil && (strings.Contains(err.Error(), "hunter2") || strings.Contains(err.Error(), "no key at all")):
			t.Errorf("%s is repeated: %v", source, err)
		case err != nil && !strings.Contains(err.Error(), "x.yaml:1:"):
			t.Errorf("%s: no place: %v", source, err)
		}
	}
}
