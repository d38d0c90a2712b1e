package main

// nodeClient asks by https and http2, at a proxy through CONNECT as agents do.
const nodeClient = `
const { HOST, TLS, PROXY } = process.env
const http = require('http'), https = require('https'), http2 = require('http2'), tls = require('tls')
const url = 'https://' + HOST + ':' + TLS
function through(ALPNProtocols) {
  const p = new URL(PROXY), auth = 'Basic ' + Buffer.from(p.username + ':' + p.password).toString('base64')
  return new Promise((done, failed) => http.request({ host: p.hostname, port: p.port, method: 'CONNECT', path: HOST + ':' + TLS, headers: { Host: HOST + ':' + TLS, 'Proxy-Authorization': auth } })
    .on('connect', (r, socket) => done(tls.connect({ socket, servername: HOST, ALPNProtocols }))).on('error', failed).end())
}
async function main() {
  const one = PROXY && await through(['http/1.1']), two = PROXY && await through(['h2'])
  const text = s => new Promise((done, failed) => { let b = ''; s.setEncoding('utf8'); s.on('data', d => b += d).on('end', () => done(b.trim())).on('error', failed) })
  await new Promise((done, failed) => https.get(url + '/https', one ? { createConnection: () => one } : {}, async r => done(console.log('https', r.statusCode, await text(r)))).on('error', failed))
  const c = http2.connect(url, two ? { createConnection: () => two } : {})
  const s = c.request({ ':path': '/http2' }), status = new Promise(done => s.on('response', h => done(h[':status'])))
  console.log('http2', await status, await text(s))
  c.close()
  if (one) one.destroy()
}
main().catch(e => console.log(e.message))
`

// pythonClient asks by each library, of which only http.client has to be told of a
// proxy in code.
const pythonClient = `
import base64, http.client, os, requests, ssl, urllib.error, urllib.parse, urllib.request
host, port, proxy = os.environ["HOST"], int(os.environ["TLS"]), os.environ.get("PROXY")
url = "https://%s:%d/" % (host, port)
try: r = urllib.request.urlopen(url + "urllib", timeout=30); print("urllib", r.status, r.read().decode())
except urllib.error.HTTPError as e: print("urllib", e.code, e.read().decode())
if proxy:
    p = urllib.parse.urlsplit(proxy)
    c = http.client.HTTPSConnection(p.hostname, p.port, timeout=30, context=ssl.create_default_context())
    c.set_tunnel(host, port, {"Proxy-Authorization": "Basic " + base64.b64encode(("%s:%s" % (p.username, p.password)).encode()).decode()})
else: c = http.client.HTTPSConnection(host, port, timeout=30)
c.request("GET", "/client"); r = c.getresponse(); print("http.client", r.status, r.read().decode())
r = requests.get(url + "requests", timeout=30); print("requests", r.status_code, r.text, "end")
`

const (
	curlOne  = `curl -sS --http1.1 -m 30 -w ' over %{http_version}' https://$HOST:$TLS/x`
	curlTwo  = `curl -sS --http2 -m 30 -w ' over %{http_version}' https://$HOST:$TLS/x`
	curlHTTP = `curl -sS -m 30 http://$HOST:$PLAIN/plain`
	curlSSE  = `curl -sSN -m 30 https://$HOST:$TLS/stream | tr '\n' ' '`
	node     = `HOST=$HOST node $KIT/client.js`
	python   = `HOST=$HOST /usr/bin/python3 $KIT/client.py`
)

const denied = "sallyport: default_deny: no rule allows this"

// webProtocols are those whose refusal is an answer.
var webProtocols = []protocol{
	{name: "curl, HTTP/1.1", slug: "h1", zone: "ok", direct: curlOne, proxy: curlOne, says: "}\n over 1.1", reads: denied, code: "default_deny", carries: "403"},
	{name: "curl, HTTP/2", slug: "h2", zone: "ok", direct: curlTwo, proxy: curlTwo, says: "}\n over 2", reads: denied, code: "default_deny", carries: "403"},
	{name: "curl, plain HTTP", slug: "plain", zone: "ok", direct: curlHTTP, proxy: curlHTTP, port: func(tb *table) int { return tb.origin.PlainPort }, says: `"Target":"/plain"`, reads: denied, code: "default_deny", carries: "403"},
	{name: "curl, server-sent events", slug: "sse", zone: "ok", direct: curlSSE, proxy: curlSSE, says: "data: 0  data: 1  data: 2", reads: denied, code: "default_deny", carries: "403"},
	{name: "Node: `fetch`", slug: "fetch", zone: "ok", direct: `node -e "fetch('https://$HOST:$TLS/fetch').then(r => r.text()).then(console.log)"`,
		why: "it knows no proxies", says: `"Target":"/fetch"`, reads: denied, code: "default_deny", carries: "403"},
	{name: "Node: `https`, `http2`", slug: "node", zone: "ok", direct: node, proxy: node, says: `"Target":"/http2"`, reads: "http2 403 " + denied, code: "default_deny", carries: "403"},
	{name: "Python: `urllib`, `http.client`, `requests`", slug: "python", zone: "ok", direct: python, proxy: python, says: "}\n end", reads: "requests 403 " + denied, code: "default_deny", carries: "403"},
}
