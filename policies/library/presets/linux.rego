# The archives of Debian, Ubuntu and Alpine. What they serve is signed, and commonly
# fetched without TLS.
package sallyport.presets.linux

import data.sallyport.lib

# debian, ubuntu and alpine hold for what is asked to install.
debian if {
	input.destination.host in {"deb.debian.org", "ftp.debian.org", "security.debian.org", "archive.debian.org"}
	_read
}

ubuntu if {
	lib.host_in({"archive.ubuntu.com", "*.archive.ubuntu.com", "security.ubuntu.com", "ports.ubuntu.com"})
	_read
}

alpine if {
	input.destination.host == "dl-cdn.alpinelinux.org"
	_read
}

_read if {
	input.destination.port in {80, 443}
	input.request.method in {"GET", "HEAD"}
}
