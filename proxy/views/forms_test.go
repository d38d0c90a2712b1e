package views

import (
	"strings"
	"testing"
)

// Forms are read as queries are, or not at all.
func TestForms(t *testing.T) {
	const form = "application/x-www-form-urlencoded"
	for _, c := range []struct{ contentType, body, want string }{
		{form, "a=1&b=2&a=%2B+x", `unparsed form={"a":["1","+ x"],"b":["2"]}`},
		{form + "; charset=UTF-8", "a", `unparsed form={"a":[""]}`},
		{form, "_charset_=utf-8&a=%C3%A4", `unparsed form={"_charset_":["utf-8"],"a":["ä"]}`},
		{form, "_charset_=utf-7&a=+AGE-", "unparsed"},
		{form + "; charset=ibm037", "a=1", "unparsed"},
		{form + "; charset=utf-8; charset=ibm037", "a=1", "unparsed"},
		{form + ", text/plain", "a=1", "unparsed"},
		{form, "a=1;b=2", "unparsed"},
		{form, "a=%FF", "unparsed"},
		{form, "a=%4", "unparsed"},
		{form, "a=1\r\nb=2", "unparsed"},
		{form, "%00a=1", "unparsed"},
		{form, strings.Repeat("a&", 5000), "unparsed"},
		{"text/plain", "a=1", "unparsed"},
		{"", "a=1", "unparsed"},
	} {
		if got := seen(c.contentType, nil, nil, c.body); got != c.want {
			t.Errorf("%s %.60q: %s, want %s", c.contentType, c.body, got, c.want)
		}
	}
}

// Forms of parts have one reading, or none (hostile 82).
func TestMultipart(t *testing.T) {
	const kind = "multipart/form-data; boundary=xYz"
	head := func(d string) string { return "--xYz\r\nContent-Disposition: " + d + "\r\n\r\nv\r\n--xYz--\r\n" }
	field := "--xYz\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n1\r\n"
	file := "--xYz\r\nContent-Disposition: form-data; name=\"f\"; filename=\"x.txt\"\r\nContent-Type: text/plain\r\n\r\nline\r\n--xY\r\n\r\n"
	for name, c := range map[string]struct{ contentType, body, want string }{
		"a field and a file":       {kind, field + file + "--xYz--\r\n", `unparsed a="1" f("x.txt" true text/plain 12)`},
		"without the last end":     {kind, field + "--xYz--", `unparsed a="1"`},
		"nothing":                  {kind, "--xYz--\r\n", "unparsed multipart=[]"},
		"JSON in a field":          {kind, "--xYz\r\nContent-Type: application/json; charset=utf-8\r\ncontent-disposition:form-data; name=a\r\n\r\n{}\r\n--xYz--\r\n", `unparsed a="{}"`},
		"a name in UTF-8":          {kind, head(`form-data; name="ä"; filename*=UTF-8''%C3%A4`), `unparsed ä("ä" true  1)`},
		"quotes in a name":         {kind, head(`form-data; name="a%22"`), `unparsed a%22="v"`},
		"both names of a file":     {kind, head(`form-data; name="a"; filename="b"; filename*=UTF-8''b`), `unparsed a("b" true  1)`},
		"two names of a file":      {kind, head(`form-data; name="a"; filename="b"; filename*=UTF-8''c`), "unparsed"},
		"a name twice":             {kind, head(`form-data; name="a"; name="b"`), "unparsed"},
		"a name in other letters":  {kind, head(`form-data; Name="a"`), "unparsed"},
		"no name":                  {kind, head(`form-data; filename="a"`), "unparsed"},
		"an escape":                {kind, head(`form-data; name="a\"; filename=\"x"`), "unparsed"},
		"an open quote":            {kind, head(`form-data; name="a`), "unparsed"},
		"no form":                  {kind, head(`attachment; name="a"`), "unparsed"},
		"a name with an end":       {kind, head("form-data; name=\"a\x00\""), "unparsed"},
		"something before":         {kind, "hello\r\n" + field + "--xYz--\r\n", "unparsed"},
		"something behind":         {kind, field + "--xYz--\r\nhello", "unparsed"},
		"a part behind the end":    {kind, field + "--xYz--\r\n" + field + "--xYz--\r\n", "unparsed"},
		"no end":                   {kind, field, "unparsed"},
		"a bare line feed":         {kind, "--xYz\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n1\n--xYz\nContent-Disposition: form-data; name=\"b\"\n\n2\r\n--xYz--\r\n", "unparsed"},
		"line feeds alone":         {kind, strings.ReplaceAll(field+"--xYz--\r\n", "\r\n", "\n"), "unparsed"},
		"a line feed in the head":  {kind, "--xYz\r\nX-A: 1\nContent-Disposition: form-data; name=\"b\"\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n1\r\n--xYz--\r\n", "unparsed"},
		"a fold in the head":       {kind, "--xYz\r\nContent-Disposition: form-data;\r\n name=\"a\"\r\n\r\n1\r\n--xYz--\r\n", "unparsed"},
		"a space behind the mark":  {kind, "--xYz \r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n1\r\n--xYz--\r\n", "unparsed"},
		"a longer mark":            {kind, field[:len(field)-2] + "\r\n--xYzz\r\nContent-Disposition: form-data; name=\"b\"\r\n\r\n2\r\n--xYz--\r\n", "unparsed"},
		"a field twice in a head":  {kind, "--xYz\r\nContent-Disposition: form-data; name=\"a\"\r\nContent-Disposition: form-data; name=\"b\"\r\n\r\n1\r\n--xYz--\r\n", "unparsed"},
		"a space before the colon": {kind, "--xYz\r\nContent-Disposition : form-data; name=\"a\"\r\n\r\n1\r\n--xYz--\r\n", "unparsed"},
		"a coding":                 {kind, "--xYz\r\nContent-Disposition: form-data; name=\"a\"\r\nContent-Transfer-Encoding: base64\r\n\r\nMQ==\r\n--xYz--\r\n", "unparsed"},
		"a charset of a field":     {kind, "--xYz\r\nContent-Disposition: form-data; name=\"a\"\r\nContent-Type: text/plain; charset=utf-16\r\n\r\n1\r\n--xYz--\r\n", "unparsed"},
		"a charset of all":         {kind, strings.Replace(head(`form-data; name="_charset_"`), "\nv\r", "\nutf-7\r", 1), "unparsed"},
		"a text that is none":      {kind, strings.Replace(head(`form-data; name="a"`), "\nv\r", "\n\xff\r", 1), "unparsed"},
		"a file without a name":    {kind, head(`form-data; name="a"; filename=""`), "unparsed"},
		"a field of another type":  {kind, strings.Replace(head(`form-data; name="a"`), "\r\n\r\nv", "\r\nContent-Type: application/octet-stream\r\n\r\nv", 1), `unparsed a="v"`},
		"a mark behind another":    {"multipart/form-data; xboundary=abc; boundary=xYz", field + "--xYz--\r\n", "unparsed"},
		"a mark in pieces":         {"multipart/form-data; boundary*0=x; boundary*1=Yz", field + "--xYz--\r\n", "unparsed"},
		"two marks":                {"multipart/form-data; boundary=xYz; boundary=abc", field + "--xYz--\r\n", "unparsed"},
		"a mark in quotes":         {`multipart/form-data; boundary="xYz"`, field + "--xYz--\r\n", `unparsed a="1"`},
		"a mark with spaces":       {`multipart/form-data; boundary="x Yz"`, "--x Yz--\r\n", "unparsed"},
		"no mark":                  {"multipart/form-data", field + "--xYz--\r\n", "unparsed"},
		"of another kind":          {"multipart/mixed; boundary=xYz", field + "--xYz--\r\n", "unparsed"},
		"many":                     {kind, strings.Repeat(field, 257) + "--xYz--\r\n", "unparsed"},
	} {
		if got := seen(c.contentType, nil, nil, c.body); got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
}
