package main

// tunnel is what ssh is told to run for a proxy.
const tunnel = `
import base64, os, socket, sys, threading, urllib.parse
p = urllib.parse.urlsplit(os.environ["PROXY"])
s = socket.create_connection((p.hostname, p.port), 30)
s.sendall(("CONNECT %s:%s HTTP/1.1\r\nHost: %s:%s\r\nProxy-Authorization: Basic %s\r\n\r\n" % (sys.argv[1], sys.argv[2], sys.argv[1], sys.argv[2], base64.b64encode(("%s:%s" % (p.username, p.password)).encode()).decode())).encode())
head = b""
while not head.endswith(b"\r\n\r\n"):
    b = s.recv(1)
    if not b: sys.exit("the proxy closed the connection")
    head += b
if b" 200 " not in head: sys.exit(head.decode())
def up():
    while b := os.read(0, 65536): s.sendall(b)
    s.shutdown(socket.SHUT_WR)
threading.Thread(target=up, daemon=True).start()
try:
    while b := s.recv(65536): os.write(1, b)
except ConnectionError as e: sys.exit(str(e))
`

const (
	psql = `psql "host=$HOST port=5432 user=app dbname=postgres connect_timeout=30 gssencmode=disable sslmode=prefer" -Atc "select 'row', 6 * 7"`
	// By name, and verified by a CA that only the kit has: it is not opened on the way.
	psqlTLS = `psql "host=$HOST port=$PORT user=app dbname=postgres connect_timeout=30 gssencmode=disable sslmode=verify-full sslrootcert=$KIT/pg-ca.crt" -Atc "select 'row', 6 * 7, ssl from pg_stat_ssl where pid = pg_backend_pid()"`
	ssh     = `$KIT/ssh $LOGIN@$HOST echo 'over $((6 * 7)) ssh'`
	git     = `rm -rf $HOME/clone; GIT_SSH=$KIT/ssh git clone -q ssh://$LOGIN@$HOST$REPO $HOME/clone && git -C $HOME/clone log --oneline`
	redis   = `redis-cli -h $HOST -p $PORT set k v; redis-cli -h $HOST -p $PORT get k`
	smtp    = `/usr/bin/python3 -c "
import smtplib
s = smtplib.SMTP('$HOST', 25, timeout=30)
print('refused', s.sendmail('a@example.com', ['b@example.com'], 'Subject: x\r\n\r\ntext'), s.quit())" 2>&1 | tail -1`
	passed = `cat "$SSL_CERT_FILE" $KIT/origin-ca.crt > $HOME/both.crt; curl -sS -m 30 --cacert $HOME/both.crt -w '%{certs}' https://$HOST:$TLS/passed | grep -E 'Target|Issuer|sallyport:'`
	raw    = `/usr/bin/python3 -c "
import socket
s = socket.create_connection(('$HOST', $PORT), 30)
s.sendall(b'\0there and back')
print(s.recv(99))" 2>&1 | tail -1`
	// Whether there is an answer is left to the client; what is refused has a status.
	dig = `case $HOST in *.ok.*) dig +tries=1 +time=30 +short $HOST;; *) dig +tries=1 +time=30 TXT $HOST | grep status; esac`
)

// noProxies is why a client cannot be told of a proxy.
const noProxies = "it knows no proxies"

// rawProtocols carry no reason: their refusal is a reset, which audit tail explains.
var rawProtocols = []protocol{
	{name: "psql, without TLS", slug: "psql", zone: "raw", direct: psql, why: noProxies, port: served("postgres"), at: 5432, says: "row|42", reads: "reset by peer|closed the connection", code: "unknown_protocol", carries: "reset + log"},
	{name: "psql, TLS", slug: "psql-tls", zone: "raw", direct: psqlTLS, why: noProxies, port: served("postgres"), says: "row|42|t", reads: "reset by peer|closed the connection", code: "unknown_protocol", carries: "reset + log"},
	{name: "ssh", slug: "ssh", zone: "raw", direct: ssh, proxy: ssh, port: served("ssh"), at: 22, says: "over 42 ssh", reads: "reset by|closed by|Connection closed", code: "unknown_protocol", carries: "reset + log"},
	{name: "git over ssh", slug: "git-ssh", zone: "raw", direct: git, proxy: git, port: served("ssh"), at: 22, says: " over ssh", reads: "reset by|closed by|Connection closed", code: "unknown_protocol", carries: "reset + log"},
	{name: "redis-cli", slug: "redis", zone: "raw", direct: redis, why: noProxies, port: served("redis"), says: "OK\nv", reads: "reset by peer|closed the connection", code: "unknown_protocol", carries: "reset + log"},
	{name: "SMTP, `smtplib`", slug: "smtp", zone: "raw", direct: smtp, why: noProxies, port: served("smtp"), at: 25, says: "refused {} (221", reads: "Connection reset by peer|Connection unexpectedly closed", code: "silent", carries: "reset + log"},
	{name: "raw TCP, Python's `socket`", slug: "tcp", zone: "raw", direct: raw, why: noProxies, port: served("echo"), says: "there and back", reads: "Connection reset by peer", code: "unknown_protocol", carries: "reset + log"},
	{name: "curl, TLS passed through by SNI", slug: "sni", zone: "tls", direct: passed, proxy: passed, says: "Issuer:CN = origin CA", reads: denied, code: "default_deny", carries: "403"},
}

// nameProtocols ask for names.
var nameProtocols = []protocol{
	{name: "dig", slug: "dig", zone: "ok", direct: dig, why: "a proxy looks names up itself", says: "198.18.", reads: "status: NOERROR", carries: "no data"},
}
