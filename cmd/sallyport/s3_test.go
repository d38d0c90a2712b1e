package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sallyport/origin"
)

// versity is a server of S3 that verifies signatures, built once from its module.
const versity = "github.com/versity/versitygw/cmd/versitygw@v1.8.0"

func versitygw(t *testing.T) string {
	t.Helper()
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(cache, "sallyport-tests", strings.ReplaceAll(filepath.Base(versity), "@", "-"))
	bin := filepath.Join(dir, "versitygw")
	if _, err := os.Stat(bin); err == nil {
		return bin
	}
	build := exec.Command("go", "install", versity)
	build.Dir = t.TempDir() // outside of our module
	build.Env = append(os.Environ(), "GOBIN="+dir, "CGO_ENABLED=0", "GOFLAGS=")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("go install %s: %v\n%s", versity, err, out)
	}
	return bin
}

// s3 starts a server, for api.example.com, and returns where.
func (p *place) s3(key string) (at string, ca string) {
	p.t.Helper()
	t := p.t.(*testing.T)
	dir := filepath.Dir(p.dir)
	by := certify(t, dir, "s3-ca", nil, authority)
	c := certify(t, dir, "s3", by, func(c *x509.Certificate) {
		c.DNSNames, c.ExtKeyUsage = []string{"api.example.com"}, []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	})
	files, port := t.TempDir(), freePort(t)
	at = fmt.Sprintf("api.example.com:%d", port)
	ctx, stop := context.WithCancel(context.Background())
	cmd := exec.CommandContext(ctx, versitygw(t), "--port", fmt.Sprintf("127.0.0.1:%d", port), "--access", "AKIAREALKEY", "--secret", key, "--region", "us-east-1", "--cert", c.crt, "--key", c.pkey, "--quiet", "posix", files)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stop(); _ = cmd.Wait() })
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}} //nolint:gosec // is it there?
	defer client.CloseIdleConnections()
	for range 200 {
		if resp, err := client.Get(fmt.Sprintf("https://127.0.0.1:%d/", port)); err == nil {
			_ = resp.Body.Close()
			return at, by.crt
		}
		time.Sleep(25 * time.Millisecond)
	}
	t.Fatal("there is no S3")
	return "", ""
}

// What a sandbox signs with a key of no worth is signed anew, whatever way its body
// goes (hostile 123).
func TestS3(t *testing.T) {
	tool(t, "curl", "curl")
	each(t, origin.Options{}, func(t *testing.T, p *place) {
		large := 100
		if p.who.uid != 0 {
			large = 17
		}
		p.env = append(p.env, "TOKEN="+canary)
		at, ca := p.s3(canary)
		if err := os.WriteFile(filepath.Join(p.dir, "s3.py"), []byte(s3Script), 0o644); err != nil {
			t.Fatal(err)
		}
		out := p.sh([]string{"--allow", at, "--upstream-ca", ca, "--credential", "s3=env:TOKEN@https://" + at + ",as=sigv4:s3:us-east-1:AKIAREALKEY"},
			fmt.Sprintf("/usr/bin/python3 s3.py https://%s %d", at, large))
		if out.code != 0 || !strings.Contains(out.stdout, "all is well") {
			t.Fatalf("%+v\n%v", out, p.find(map[string]string{"event.name": "egress.request.complete", "outcome": "failure"}))
		}
		for _, want := range []string{"credential_unplaced"} {
			if n := len(p.find(map[string]string{"event.name": "egress.request.complete", "error.type": want})); n < 4 {
				t.Errorf("%d records of %s", n, want)
			}
		}
		p.noCanary(out)
	})
}

// s3Script is what the sandbox does: with the SDK, and by hand where that has no say.
const s3Script = `
import boto3, hashlib, http.client, io, os, ssl, sys, urllib.request, urllib.parse, binascii, base64
from boto3.s3.transfer import TransferConfig
from botocore.config import Config
url, large = sys.argv[1], int(sys.argv[2])
def client(**more):
    return boto3.client('s3', endpoint_url=url, region_name=more.pop('region', 'us-east-1'), aws_access_key_id='AKIAOFNOWORTH', aws_secret_access_key='nothing', config=Config(s3={'addressing_style': 'path', **more}, retries={'max_attempts': 0}))
def same(a, b, what):
    if a != b: sys.exit('%s: %r is not %r' % (what, a, b))
s3 = client()
s3.create_bucket(Bucket='box')
small = os.urandom(1024)
s3.put_object(Bucket='box', Key='small', Body=small)
same(s3.get_object(Bucket='box', Key='small')['Body'].read(), small, 'small')
for key in ["a b/\u00fc+(x)!*'.txt", 'a=b&c~d']:
    s3.put_object(Bucket='box', Key=key, Body=b'odd')
    same(s3.get_object(Bucket='box', Key=key)['Body'].read(), b'odd', key)
same(sorted(o['Key'] for o in s3.list_objects_v2(Bucket='box', Prefix='a')['Contents']), sorted(["a b/\u00fc+(x)!*'.txt", 'a=b&c~d']), 'list')
client(payload_signing_enabled=True).put_object(Bucket='box', Key='hashed', Body=small)
same(s3.get_object(Bucket='box', Key='hashed')['Body'].read(), small, 'hashed')
piece = os.urandom(1 << 20)
with open('large', 'wb') as f:
    for i in range(large): f.write(piece)
def digest(f):
    h = hashlib.sha256()
    while True:
        b = f.read(1 << 20)
        if not b: return h.hexdigest()
        h.update(b)
want = digest(open('large', 'rb'))
with open('large', 'rb') as f: s3.put_object(Bucket='box', Key='streamed', Body=f)
same(digest(s3.get_object(Bucket='box', Key='streamed')['Body']), want, 'streamed')
s3.upload_file('large', 'box', 'parts', Config=TransferConfig(multipart_threshold=6 << 20, multipart_chunksize=6 << 20, max_concurrency=2))
same(digest(s3.get_object(Bucket='box', Key='parts')['Body']), want, 'parts')
os.remove('large')
for c in s3, boto3.client('s3', endpoint_url=url, region_name='us-east-1', aws_access_key_id='AKIAOFNOWORTH', aws_secret_access_key='nothing', config=Config(signature_version='s3v4', s3={'addressing_style': 'path'})):
    given = c.generate_presigned_url('get_object', Params={'Bucket': 'box', 'Key': 'small'})
    same(urllib.request.urlopen(given).read(), small, 'presigned')

u = urllib.parse.urlsplit(url)
def ask(method, path, body=None, headers={}):
    c = http.client.HTTPSConnection(u.netloc, context=ssl.create_default_context())
    h = {'Authorization': 'AWS4-HMAC-SHA256 Credential=AKIAOFNOWORTH/20260101/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=' + '0' * 64, 'X-Amz-Date': '20260101T000000Z'}
    h.update(headers)
    try:
        c.request(method, path, body, {k: v for k, v in h.items() if v is not None})
        r = c.getresponse()
        return r.status, r.read()
    except (ConnectionError, http.client.HTTPException) as e:
        return 0, str(e).encode()
data = os.urandom(150000)
def chunks(sig, trailer=b'', last=True):
    out, s = b'', (b';chunk-signature=' + b'0' * 64 if sig else b'')
    for i in range(0, len(data), 65536):
        d = data[i:i + 65536]
        out += b'%x' % len(d) + s + b'\r\n' + d + b'\r\n'
    return out + b'0' + s + b'\r\n' + (trailer if trailer else b'\r\n')
crc = base64.b64encode(binascii.crc32(data).to_bytes(4, 'big'))
for name, mode, body, more in [
    ('signed', 'STREAMING-AWS4-HMAC-SHA256-PAYLOAD', chunks(True), {}),
    ('signed-trailer', 'STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER', chunks(True, b'x-amz-checksum-crc32:' + crc + b'\r\nx-amz-trailer-signature:' + b'0' * 64 + b'\r\n\r\n'), {'X-Amz-Trailer': 'x-amz-checksum-crc32'}),
    ('unsigned-trailer', 'STREAMING-UNSIGNED-PAYLOAD-TRAILER', chunks(False, b'x-amz-checksum-crc32:' + crc + b'\r\n\r\n'), {'X-Amz-Trailer': 'x-amz-checksum-crc32'}),
    ('unsigned', 'UNSIGNED-PAYLOAD', data, {}),
    ('unsaid', None, data, {'X-Amz-Content-Sha256': None}),
]:
    h = {'Content-Length': str(len(body))}
    if mode: h['X-Amz-Content-Sha256'] = mode
    if mode and mode.startswith('STREAMING'): h.update({'Content-Encoding': 'aws-chunked', 'X-Amz-Decoded-Content-Length': str(len(data))})
    h.update(more)
    status, text = ask('PUT', '/box/' + name, body, h)
    same(status, 200, name + ' ' + repr(text))
    same(s3.get_object(Bucket='box', Key=name)['Body'].read(), data, name)
mine = 'AWS4-HMAC-SHA256 Credential=AKIAOFNOWORTH/20260101/%s/aws4_request, SignedHeaders=host, Signature=' + '0' * 64
for what, h in {
    'another region': {'Authorization': mine % 'eu-west-1/s3'},
    'another service': {'Authorization': mine % 'us-east-1/iam'},
    'SigV4A': {'Authorization': 'AWS4-ECDSA-P256-SHA256 Credential=AKIAOFNOWORTH/20260101/s3/aws4_request'},
    'an unknown mode': {'X-Amz-Content-Sha256': 'STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD'},
}.items():
    status, text = ask('GET', '/box/small', None, h)
    if status != 403 or b'credential_unplaced' not in text: sys.exit('%s: %d %r' % (what, status, text))
for what, (h, body) in {
    'another body than it says': ({'X-Amz-Content-Sha256': hashlib.sha256(b'x').hexdigest()}, data),
    'no chunks': ({'X-Amz-Content-Sha256': 'STREAMING-AWS4-HMAC-SHA256-PAYLOAD', 'X-Amz-Decoded-Content-Length': '150000', 'Content-Encoding': 'aws-chunked'}, data),
    'chunks that end early': ({'X-Amz-Content-Sha256': 'STREAMING-AWS4-HMAC-SHA256-PAYLOAD', 'X-Amz-Decoded-Content-Length': '150000', 'Content-Encoding': 'aws-chunked'}, chunks(True)[:-90]),
}.items():
    status, text = ask('PUT', '/box/broken', body, h)
    if status == 200: sys.exit('%s: %d %r' % (what, status, text))
    same([o['Key'] for o in s3.list_objects_v2(Bucket='box', Prefix='broken').get('Contents', [])], [], what)
print('all is well')
`
