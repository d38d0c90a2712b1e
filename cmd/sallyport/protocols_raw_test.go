package main

// tunnel connects its input and output to a host and port, through the proxy PROXY.
const tunnel = `
import base64, os, socket, struct, sys, threading, urllib.parse
p, host, port = urllib.parse.urlsplit(os.environ["PROXY"]), sys.argv[1], sys.argv[2]
s = socket.create_connection((p.hostname, p.port), 30)
def take(n):
    b = b""
    while len(b) < n:
        more = s.recv(n - len(b))
        if not more: sys.exit("the proxy closed the connection")
        b += more
    return b
if p.scheme == "http":
    s.sendall(("CONNECT %s:%s HTTP/1.1\r\nHost: %s:%s\r\nProxy-Authorization: Basic %s\r\n\r\n" % (host, port, host, port, base64.b64encode(("%s:%s" % (p.username, p.password)).encode()).decode())).encode())
    head = b""
    while not head.endswith(b"\r\n\r\n"): head += take(1)
    if b" 200 " not in head: sys.exit(head.decode())
else:
    s.sendall(b"\5\1\2" if p.password else b"\5\1\0")
    if take(2)[1] == 2:
        s.sendall(b"\1" + b"".join(bytes([len(x)]) + x.encode() for x in (p.username, p.password)))
        if take(2)[1]: sys.exit("the token is wrong")
    s.sendall(b"\5\1\0\3" + bytes([len(host)]) + host.encode() + struct.pack("!H", int(port)))
    if said := take(10)[1]: sys.exit("SOCKS %d" % said)
def up():
    while b := os.read(0, 65536): s.sendall(b)
    s.shutdown(socket.SHUT_WR)
threading.Thread(target=up, daemon=True).start()
n = 0
try:
    while b := s.recv(65536): n += os.write(1, b)
    if n == 0: sys.exit("the proxy closed the connection")
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
	dig = `dig +tries=1 +time=30 TXT $HOST`
)

// noProxies is why a client cannot be told of a proxy.
const (
	noProxies = "it knows no proxies"
	noNames   = "a proxy looks names up itself"
)

// rawProtocols carry no reason: their refusal is a reset, which audit tail explains.
var rawProtocols = []protocol{
	{name: "psql, without TLS", slug: "psql", zone: "raw", script: psql, noHTTP: noProxies, noSOCKS: noProxies, port: served("postgres"), at: 5432, says: "row|42", reads: "reset by peer|closed the connection", code: "unknown_protocol", carries: "reset + log"},
	{name: "psql, TLS", slug: "psql-tls", zone: "raw", script: psqlTLS, noHTTP: noProxies, noSOCKS: noProxies, port: served("postgres"), says: "row|42|t", reads: "reset by peer|closed the connection", code: "unknown_protocol", carries: "reset + log"},
	{name: "ssh", slug: "ssh", zone: "raw", script: ssh, port: served("ssh"), at: 22, says: "over 42 ssh", reads: "reset by|closed by|Connection closed", code: "unknown_protocol", told: "port_denied", carries: "reset + log; a proxy says no"},
	{name: "git over ssh", slug: "git-ssh", zone: "raw", script: git, port: served("ssh"), at: 22, says: " over ssh", reads: "reset by|closed by|Connection closed", code: "unknown_protocol", told: "port_denied", carries: "reset + log; a proxy says no"},
	{name: "redis-cli", slug: "redis", zone: "raw", script: redis, noHTTP: noProxies, noSOCKS: noProxies, port: served("redis"), says: "OK\nv", reads: "reset by peer|closed the connection", code: "unknown_protocol", carries: "reset + log"},
	{name: "SMTP, `smtplib`", slug: "smtp", zone: "raw", script: smtp, noHTTP: noProxies, noSOCKS: noProxies, port: served("smtp"), at: 25, says: "refused {} (221", reads: "Connection reset by peer|Connection unexpectedly closed", code: "silent", carries: "reset + log"},
	{name: "raw TCP, Python's `socket`", slug: "tcp", zone: "raw", script: raw, proxied: `printf '\0there and back' | /usr/bin/python3 $KIT/tunnel.py $HOST $PORT`, port: served("echo"), says: "there and back", reads: "Connection reset by peer|the proxy closed the connection", code: "unknown_protocol", carries: "reset + log"},
	{name: "curl, TLS passed through by SNI", slug: "sni", zone: "tls", script: passed, says: "Issuer:CN = origin CA", reads: denied, code: "default_deny", carries: "403"},
}

// nameProtocols ask for names.
var nameProtocols = []protocol{
	{name: "dig", slug: "dig", zone: "txt", script: dig, noHTTP: noNames, noSOCKS: noNames, says: "told by a name server", reads: "status: NOERROR", code: "default_deny", carries: "no records + log"},
}
