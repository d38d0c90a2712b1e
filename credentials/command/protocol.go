package command

import (
	"bytes"
	"errors"
	"strconv"
	"strings"
	"time"

	"sallyport/credentials"
	"sallyport/credentials/endpoint"
)

// A Protocol is how a program is asked and answers.
type Protocol string

const (
	ExecCredential Protocol = "exec_credential" // client-go credential plugins, v1
	AWSProcess     Protocol = "aws_process"     // credential_process of the AWS SDKs
	Git            Protocol = "git"             // gitcredentials(7)
	Docker         Protocol = "docker"          // docker-credential-helpers
	Raw            Protocol = "raw"             // the secret, with or without a line end
)

// Asks reports whether a program is told for whom it is asked.
func (p Protocol) Asks() bool { return protocols[p].host }

type protocol struct {
	host  bool                // it is told for whom
	args  []string            // behind those of the configuration
	env   map[string]string   // beside that of the configuration
	stdin func(string) string // what it is told
	read  func([]byte) (credentials.Value, error)
}

var protocols = map[Protocol]protocol{
	ExecCredential: {env: map[string]string{"KUBERNETES_EXEC_INFO": `{"apiVersion":"client.authentication.k8s.io/v1","kind":"ExecCredential","spec":{"interactive":false}}`}, read: readExecCredential},
	AWSProcess:     {read: readAWS},
	Git:            {host: true, args: []string{"get"}, env: map[string]string{"GIT_TERMINAL_PROMPT": "0"}, stdin: func(h string) string { return "protocol=https\nhost=" + h + "\n\n" }, read: readGit},
	Docker:         {host: true, args: []string{"get"}, stdin: func(h string) string { return h + "\n" }, read: readDocker},
	Raw:            {read: readRaw},
}

func readRaw(b []byte) (v credentials.Value, err error) {
	v.Secret, err = credentials.NewSecret(bytes.TrimRight(b, "\r\n"))
	return v, err
}

func readExecCredential(b []byte) (v credentials.Value, err error) {
	o, err := endpoint.ParseObject(bytes.TrimSpace(b))
	if err != nil {
		return v, err
	}
	version, no1 := o.Text("apiVersion")
	kind, no2 := o.Text("kind")
	if no1 != nil || no2 != nil || version != "client.authentication.k8s.io/v1" || kind != "ExecCredential" {
		return v, errors.New("it is not an ExecCredential of client.authentication.k8s.io/v1")
	}
	st, err := o.Sub("status")
	if err != nil {
		return v, err
	}
	token, err := st.Text("token")
	if err != nil {
		return v, err
	}
	if st.Has("expirationTimestamp") {
		if v.Expires, err = st.Time("expirationTimestamp"); err != nil {
			return v, err
		}
	}
	v.Secret, err = credentials.NewSecret([]byte(token))
	return v, err
}

func readAWS(b []byte) (v credentials.Value, err error) {
	o, err := endpoint.ParseObject(bytes.TrimSpace(b))
	if err != nil {
		return v, err
	}
	if string(o["Version"]) != "1" {
		return v, errors.New("it is not of version 1")
	}
	id, err := o.Text("AccessKeyId")
	if err != nil {
		return v, err
	}
	key, err := o.Text("SecretAccessKey")
	if err != nil {
		return v, err
	}
	if v.Secret, err = credentials.NewSecret([]byte(key)); err != nil {
		return v, err
	}
	v.Public = map[string]string{"access_key_id": id}
	if o.Has("SessionToken") {
		t, err := o.Text("SessionToken")
		if err != nil {
			return v, err
		}
		token, err := credentials.NewSecret([]byte(t))
		if err != nil {
			return v, err
		}
		v.Others = map[string]credentials.Secret{"session_token": token}
	}
	if o.Has("Expiration") {
		v.Expires, err = o.Time("Expiration")
	}
	return v, err
}

func readGit(b []byte) (v credentials.Value, err error) {
	said := map[string]string{}
	for line := range strings.Lines(string(b)) {
		line = strings.TrimSuffix(strings.TrimSuffix(line, "\n"), "\r")
		if line == "" {
			break
		}
		k, val, ok := strings.Cut(line, "=")
		if _, twice := said[k]; !ok || twice && !strings.HasSuffix(k, "[]") {
			return v, errors.New("it is not of lines KEY=VALUE, each once")
		}
		said[k] = val
	}
	if q := said["quit"]; q == "1" || q == "true" {
		return v, errors.New("it says quit: it has nothing to give")
	}
	if said["password"] == "" {
		return v, errors.New("it has no password")
	}
	if v.Secret, err = credentials.NewSecret([]byte(said["password"])); err != nil {
		return v, err
	}
	if u := said["username"]; u != "" {
		v.Public = map[string]string{"user": u}
	}
	if e := said["password_expiry_utc"]; e != "" {
		n, err := strconv.ParseInt(e, 10, 36)
		if err != nil || n <= 0 {
			return v, errors.New("it has no time in password_expiry_utc")
		}
		v.Expires = time.Unix(n, 0)
	}
	return v, nil
}

func readDocker(b []byte) (v credentials.Value, err error) {
	o, err := endpoint.ParseObject(bytes.TrimSpace(b))
	if err != nil {
		return v, err
	}
	secret, err := o.Text("Secret")
	if err != nil {
		return v, err
	}
	if user, err := o.Text("Username"); err == nil {
		v.Public = map[string]string{"user": user}
	}
	v.Secret, err = credentials.NewSecret([]byte(secret))
	return v, err
}
