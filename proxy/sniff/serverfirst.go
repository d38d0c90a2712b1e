package sniff

import "time"

// ServerFirstTimeout is how long a client may be silent on a port of ServerFirst:
// one that speaks first does so as soon as it is connected.
const ServerFirstTimeout = 300 * time.Millisecond

// serverFirst are ports of IANA's registry whose services greet their clients.
var serverFirst = map[uint16]bool{
	13:   true, // daytime
	17:   true, // qotd
	19:   true, // chargen
	21:   true, // ftp
	22:   true, // ssh
	23:   true, // telnet
	25:   true, // smtp
	37:   true, // time
	110:  true, // pop3
	119:  true, // nntp
	143:  true, // imap
	587:  true, // submission
	3306: true, // mysql
	3690: true, // svn
	4190: true, // sieve
	5900: true, // rfb
}

// ServerFirst reports whether the service that is registered for a TCP port
// speaks before its client does, so that a client's silence says that it waits.
func ServerFirst(port uint16) bool { return serverFirst[port] }
