// Serves with node:http and writes a line for each request as node reads it.
// Arguments: address, plain port, TLS port, certificate, key, file to write.
const http = require("node:http"), https = require("node:https"), fs = require("node:fs"), crypto = require("node:crypto");
const [address, plain, secure, cert, key, path] = process.argv.slice(2);
const out = fs.openSync(path, "a");
let made = 0;

function about(req) {
  const headers = [];
  for (let i = 0; i < req.rawHeaders.length; i += 2) headers.push([req.rawHeaders[i], req.rawHeaders[i + 1]]);
  const s = req.socket;
  s.made ??= String(++made);
  s.n = (s.n ?? 0) + 1;
  return { method: req.method, target: req.url, host: req.headers.host ?? "", headers, conn: s.made, n: s.n };
}
const tell = (what) => fs.writeSync(out, JSON.stringify(what) + "\n");

function take(req, res) {
  const seen = about(req), hash = crypto.createHash("sha256");
  let size = 0;
  req.on("data", (b) => { size += b.length; hash.update(b); });
  req.on("end", () => {
    tell({ ...seen, complete: req.complete, size, sha256: hash.digest("hex") });
    res.setHeader("Content-Length", "3");
    res.end("ok\n");
  });
  req.on("error", (e) => tell({ ...seen, complete: false, size, error: String(e) }));
}

function serve(s, port) {
  s.on("request", take);
  s.on("checkContinue", (req, res) => { res.writeContinue(); take(req, res); });
  s.on("connect", (req, socket) => { tell({ ...about(req), complete: true, size: 0 }); socket.destroy(); });
  s.on("upgrade", (req, socket) => { tell({ ...about(req), complete: true, size: 0 }); socket.destroy(); });
  s.on("clientError", (e, socket) => {
    if (e.code !== "ECONNRESET" && e.rawPacket) tell({ conn: socket.made ?? "", error: String(e), text: e.rawPacket.toString("latin1").slice(0, 300) });
    socket.destroy();
  });
  s.listen(Number(port), address, 512);
}
const o = { maxHeaderSize: 256 << 10, keepAliveTimeout: 60000 };
serve(http.createServer(o), plain);
serve(https.createServer({ ...o, cert: fs.readFileSync(cert), key: fs.readFileSync(key) }), secure);
