package main

import (
	"fmt"
	"io"
	"net/http"
	"sallyport/origin/calls"
	"sync"
	"time"
)

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

// websocketClient says something, through an HTTP proxy by its own CONNECT.
const websocketClient = `
import asyncio, base64, http.client, os, ssl, urllib.parse, websockets
host, port, proxy, more = os.environ["HOST"], int(os.environ["TLS"]), os.environ.get("PROXY"), {}
if proxy:
    p = urllib.parse.urlsplit(proxy)
    c = http.client.HTTPConnection(p.hostname, p.port, timeout=30)
    c.set_tunnel(host, port, {"Proxy-Authorization": "Basic " + base64.b64encode(("%s:%s" % (p.username, p.password)).encode()).decode()})
    c.connect(); more = {"sock": c.sock, "server_hostname": host, "ssl": ssl.create_default_context()}
async def main():
    async with websockets.connect("wss://%s:%d/ws" % (host, port), open_timeout=30, **more) as ws:
        await ws.send("hello"); print("said", await ws.recv())
try: asyncio.run(main())
except websockets.InvalidStatusCode as e: print(e)
`

// page is loaded when a WebSocket and events have come.
const page = `<!doctype html><p id=out></p><script>
const got = {}, key = Math.random()
document.write('<img src="/late?' + key + '" hidden>')
function tell(what, text) {
  got[what] = text
  if (!got.WebSocket || !got.events) return
  out.textContent = 'page ' + performance.getEntriesByType('navigation')[0].nextHopProtocol + ', WebSocket ' + got.WebSocket + ', events ' + got.events
  fetch('/done?' + key)
}
const ws = new WebSocket('wss://' + location.host + '/ws'), events = new EventSource('/stream')
let all = ''
ws.onopen = () => ws.send('hello')
ws.onmessage = e => tell('WebSocket', e.data)
events.onmessage = e => { if ((all += e.data).length == 3) { events.close(); tell('events', all) } }
</script>`

// tableOrigin answers all clients of the table.
func tableOrigin(grpc http.Handler) http.Handler {
	var pages sync.Map // by their keys
	loaded := func(r *http.Request) chan struct{} {
		c, _ := pages.LoadOrStore(r.URL.RawQuery, make(chan struct{}))
		return c.(chan struct{})
	}
	mux := http.NewServeMux()
	mux.Handle("/ws", wsEcho)
	mux.HandleFunc("/page", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		_, _ = io.WriteString(w, page)
	})
	mux.HandleFunc("/done", func(_ http.ResponseWriter, r *http.Request) { close(loaded(r)) })
	mux.HandleFunc("/late", func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-loaded(r):
		case <-r.Context().Done():
		case <-time.After(20 * time.Second):
		}
	})
	mux.HandleFunc("/stream", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		for i := range 3 {
			fmt.Fprintf(w, "data: %d\n\n", i)
			_ = http.NewResponseController(w).Flush()
		}
	})
	mux.Handle("/"+calls.Name+"/", grpc)
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) { fmt.Fprintf(w, "{\"Target\":%q}\n", r.RequestURI) })
	return mux
}

const (
	curlOne  = `curl -sS --http1.1 -m 30 -w ' over %{http_version}' https://$HOST:$TLS/x`
	curlTwo  = `curl -sS --http2 -m 30 -w ' over %{http_version}' https://$HOST:$TLS/x`
	curlHTTP = `curl -sS -m 30 http://$HOST:$PLAIN/plain`
	curlSSE  = `curl -sSN -m 30 https://$HOST:$TLS/stream | tr '\n' ' '`
	node     = `HOST=$HOST node $KIT/client.js`
	chromium = `d=$(mktemp -d); chromium --headless --no-sandbox --disable-gpu --no-first-run --disable-background-networking --disable-component-update --disable-sync --user-data-dir=$d ${PROXY:+--proxy-server=$(echo $PROXY | sed s/socks5h/socks5/)} --dump-dom https://$HOST:$TLS/page 2>/dev/null; rm -rf $d`
	python   = `HOST=$HOST /usr/bin/python3 $KIT/client.py`
)

const denied = "sallyport: default_deny: no rule allows this"

// noLibrary is why a client cannot be told of a proxy of SOCKS.
const noLibrary = "it needs another library for SOCKS"

// webProtocols are those whose refusal is an answer.
var webProtocols = []protocol{
	{name: "curl, HTTP/1.1", slug: "h1", zone: "ok", script: curlOne, says: "}\n over 1.1", reads: denied, code: "default_deny", carries: "403"},
	{name: "curl, HTTP/2", slug: "h2", zone: "ok", script: curlTwo, says: "}\n over 2", reads: denied, code: "default_deny", carries: "403"},
	{name: "curl, plain HTTP", slug: "plain", zone: "ok", script: curlHTTP, port: func(tb *table) int { return tb.origin.PlainPort }, says: `"Target":"/plain"`, reads: denied, code: "default_deny", carries: "403"},
	{name: "curl, server-sent events", slug: "sse", zone: "ok", script: curlSSE, says: "data: 0  data: 1  data: 2", reads: denied, code: "default_deny", carries: "403"},
	{name: "Node: `fetch`", slug: "fetch", zone: "ok", script: `node -e "fetch('https://$HOST:$TLS/fetch').then(r => r.text()).then(console.log)"`,
		noHTTP: noProxies, noSOCKS: noProxies, says: `"Target":"/fetch"`, reads: denied, code: "default_deny", carries: "403"},
	{name: "Node: `https`, `http2`", slug: "node", zone: "ok", script: node, noSOCKS: noLibrary, says: `"Target":"/http2"`, reads: "http2 403 " + denied, code: "default_deny", carries: "403"},
	{name: "Python: `urllib`, `http.client`, `requests`", slug: "python", zone: "ok", script: python, noSOCKS: noLibrary, says: "}\n end", reads: "requests 403 " + denied, code: "default_deny", carries: "403"},
	{name: "WebSocket, Python's `websockets`", slug: "ws", zone: "ok", script: `HOST=$HOST /usr/bin/python3 $KIT/ws.py`, noSOCKS: noLibrary, says: "said hello", reads: "HTTP 403", code: "default_deny", carries: "403"},
	{name: "Chromium: a page over HTTP/2 with a WebSocket and server-sent events", slug: "chromium", zone: "ok", script: chromium, noToken: "it asks its user for what a proxy asks for",
		says: "page h2, WebSocket hello, events 012", reads: denied, code: "default_deny", carries: "403"},
}
