"""Serves with h11 and writes a line for each request as h11 reads it.

Arguments: address, plain port, TLS port, certificate, key, file to write.
"""
import asyncio, hashlib, json, ssl, sys
import h11

address, plain, secure, cert, key, path = sys.argv[1:7]
out = open(path, "a", buffering=1)
made = 0


def text(b):
    return bytes(b).decode("latin-1")


async def serve(reader, writer):
    global made
    made += 1
    me, n = str(made), 0
    conn = h11.Connection(h11.SERVER, max_incomplete_event_size=256 << 10)
    seen, body = None, hashlib.sha256()

    async def following():
        while True:
            event = conn.next_event()
            if event is not h11.NEED_DATA:
                return event
            conn.receive_data(await reader.read(65536))

    def tell(**more):
        out.write(json.dumps(dict(seen or {}, conn=me, n=n, **more)) + "\n")

    try:
        while True:
            event = await following()
            if type(event) is h11.Request:
                n += 1
                size, body = 0, hashlib.sha256()
                seen = {
                    "method": text(event.method), "target": text(event.target),
                    "host": "".join(text(v) for k, v in event.headers if k == b"host"),
                    "headers": [[text(k), text(v)] for k, v in event.headers],
                }
                if conn.they_are_waiting_for_100_continue:
                    writer.write(conn.send(h11.InformationalResponse(status_code=100, headers=[])))
            elif type(event) is h11.Data:
                size += len(event.data)
                body.update(event.data)
            elif type(event) is h11.EndOfMessage:
                tell(complete=True, size=size, sha256=body.hexdigest(), trailers=[[text(k), text(v)] for k, v in event.headers])
                seen = None
                writer.write(conn.send(h11.Response(status_code=200, headers=[("Content-Length", "3")])))
                if conn.our_state is h11.SEND_BODY:
                    try:
                        writer.write(conn.send(h11.Data(data=b"ok\n")))
                    except h11.LocalProtocolError:
                        pass
                try:
                    writer.write(conn.send(h11.EndOfMessage()) or b"")
                except h11.LocalProtocolError:
                    break
                await writer.drain()
                if conn.our_state is h11.MUST_CLOSE:
                    break
                conn.start_next_cycle()
            elif type(event) is h11.ConnectionClosed:
                break
            else:
                tell(error=repr(event))
                break
    except (h11.RemoteProtocolError, ConnectionError, ssl.SSLError) as e:
        if seen is not None or isinstance(e, h11.RemoteProtocolError):
            tell(error=str(e))
    finally:
        writer.close()


async def main():
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(cert, key)
    tls.set_alpn_protocols(["http/1.1"])
    a = await asyncio.start_server(serve, address, int(plain), backlog=512)
    b = await asyncio.start_server(serve, address, int(secure), ssl=tls, backlog=512)
    await asyncio.gather(a.serve_forever(), b.serve_forever())


asyncio.run(main())
