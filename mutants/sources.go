package main

// Guards of where secrets come from.
var sources = []mutant{
	{[]int{124}, "credentials/held.go", "case k.call != nil:\n\t\treturn k.call, nil\n", "case k.call != nil && false:\n\t\treturn k.call, nil\n", e2e, "TestTokenEndpoints"},
	{[]int{126}, "credentials/held.go", "end = v.Expires.Add(-early)", "_ = early", "credentials", "TestHeldRefreshes"},
	{[]int{440}, "credentials/endpoint/endpoint.go", "{ return http.ErrUseLastResponse }", "{ return nil }", "credentials/oauth2", "TestBadEndpoints"},
	{[]int{440}, "credentials/endpoint/endpoint.go", "len(b) > maxAnswer", "false", "credentials/oauth2", "TestBadEndpoints"},
	{[]int{440}, "credentials/endpoint/object.go", "twice {", "twice && false {", "credentials/oauth2", "TestBadEndpoints"},
	{[]int{440}, "credentials/endpoint/object.go", "&& slices.Contains(known, s) {", "&& known != nil {", "credentials/oauth2", "TestBadEndpoints"},
	{[]int{440}, "credentials/oauth2/oauth2.go", "if !strings.EqualFold(kind, \"Bearer\") &&", "if kind == \"\" &&", "credentials/oauth2", "TestBadEndpoints"},
	{[]int{441}, "credentials/oauth2/oauth2.go", "if len(s.o.Scopes) > 0 && !slices.Contains(s.o.Scopes, w) {", "if w == \"\" {", "credentials/oauth2", "TestChosenScopes"},
	{[]int{442}, "credentials/oauth2/keep.go", "s.owed = &owed{given.Secret, *out.next}\n\tif err := keep(); err != nil {", "s.owed = &owed{given.Secret, *out.next}\n\tif err := keep(); err != nil && false {", "credentials/oauth2", "TestRefreshTokens"},
	{[]int{442}, "credentials/oauth2/keep.go", "if err == nil {\n\t\t\treturn func()", "if err == nil || true {\n\t\t\treturn func()", "credentials/oauth2", "TestRefreshTokens"},

	{[]int{132}, "credentials/command/here.go", "_ = kill() // what it left behind", "// what it left behind", "credentials/command", "TestHostilePrograms"},
	{[]int{132}, "credentials/command/here.go", "if l.n += len(p); l.n > l.most {", "if l.n += len(p); l.n < 0 {", "credentials/command", "TestHostilePrograms"},
	{[]int{132}, "credentials/command/command.go", "!filepath.IsAbs(s.Args[0])", "s.Args[0] == \"\"", "credentials/command", "TestHostilePrograms"},
	{[]int{132}, "credentials/command/command.go", "case st.Mode().Perm()&0o002 != 0 && !sticky:", "case st.Mode().Perm()&0o002 != 0 && !sticky && p == \"\":", "credentials/command", "TestHostilePrograms"},
	{[]int{132}, "credentials/command/here.go", "cmd.Env, cmd.Dir = s.environ(), \"/\"", "cmd.Env, cmd.Dir = append(os.Environ(), s.environ()...), \"/\"", "credentials/command", "TestProtocols"},
	{[]int{443}, "credentials/command/broker.go", "|| a.Program < 0 || a.Program >= len(table) ||", "||", "credentials/command", "TestBrokerIsToldNonsense"},
	{[]int{443}, "cmd/sidecar/broker.go", "case limits != nil: // and", "case limits != nil && false: // and", e2e, "TestPrograms"},
	{[]int{443}, "cmd/sidecar/broker.go", "[]string{\"GOTRACEBACK=none\"}", "os.Environ()", e2e, "TestPrograms"},
	{[]int{444}, "credentials/github/github.go", "if !named(r) || len(s.o.Repositories) > 0 && !slices.Contains(s.o.Repositories, r) {", "if !named(r) {", "credentials/github", "TestTokensAreNarrow"},
	{[]int{444}, "credentials/github/github.go", "err = ask.granted(o)", "_ = ask.granted", "credentials/github", "TestTokensAreNarrow"},
	{[]int{445}, "credentials/aws/aws.go", "case !strings.Contains(r.Role.Arn, \":\"+account+\":assumed-role/\"+role+\"/\"):", "case account+role == \"\":", "credentials/aws", "TestKeysAndRoles"},
	{[]int{445}, "credentials/aws/aws.go", "if slices.Contains(codes, x.Code) {", "if slices.Contains(codes, \"\") {", "credentials/aws", "TestKeysAndRoles"},
	{[]int{446}, "credentials/vault/vault.go", "_ = s.revoke(ctx, old)", "_ = s.revoke", "credentials/vault", "TestLeases"},
	{[]int{446}, "credentials/vault/vault.go", "life < l.life/2 {", "life < 0 {", "credentials/vault", "TestLeases"},
	{[]int{446}, "credentials/vault/vault.go", "&& s.forget() {", "&& s.isEnded() {", "credentials/vault", "TestLogins"},
	{[]int{447}, "credentials/age/age.go", "case err != nil:\n\t\t\terr = errors.New(\"it was cut or changed\")\n", "case false:\n", "credentials/age", "TestSealedFiles"},
	{[]int{448}, "credentials/inherited/inherited.go", "|| flags&unix.FD_CLOEXEC != 0 {", "{", "credentials/inherited", "TestInherited"},
}
