package proxy

import "net/http"

// What is sent in a stream of HTTP/2 and not passed on is held here, up to
// streamWindow. A connection's window is as large as those of its streams together:
// otherwise some that nobody reads would use it up, and nothing would pass beside them
// (hostile 332). So what bounds the memory of a sandbox is how many requests it may have.
const (
	streamWindow = 256 << 10 // bytes; the default of net/http is 4 MiB
	maxStreams   = 250       // that a client may have on a connection
	// upstreamWindow is for as many streams as an upstream allows, up to 4096.
	upstreamWindow = 4096 * streamWindow
)

// inwards are the settings of HTTP/2 towards clients. No frame may be larger than the
// window that it has to fit into.
func inwards() *http.HTTP2Config {
	return &http.HTTP2Config{MaxConcurrentStreams: maxStreams, MaxReadFrameSize: streamWindow, MaxReceiveBufferPerStream: streamWindow, MaxReceiveBufferPerConnection: maxStreams * streamWindow}
}
