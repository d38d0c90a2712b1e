# Git over HTTPS, to fetch from and not to push to: git-upload-pack of the smart
# protocol. What Git LFS and archives of a host's own need is not in it.
package sallyport.presets.git

import data.sallyport.lib

hosts := {"github.com", "gitlab.com", "bitbucket.org", "codeberg.org"}

# read holds for fetching from any repository of these hosts.
read if {
	hosts[input.destination.host]
	repository
}

# read_of holds for fetching from repositories of any host: {"github.com/owner/name",
# "gitlab.com/group/*"}. At the hosts above names are in lower case.
read_of(repositories) if repositories[repository]

read_of(repositories) if {
	owner := array.slice(split(repository, "/"), 0, count(split(repository, "/")) - 1)
	repositories[concat("/", array.concat(owner, ["*"]))]
}

# repository is what is fetched from, as HOST/PATH without .git, and undefined for
# everything else.
repository := _name(array.slice(_parts, 0, count(_parts) - 2)) if {
	lib.https
	input.request.method == "GET"
	array.slice(_parts, count(_parts) - 2, count(_parts)) == ["info", "refs"]
	input.request.query == {"service": ["git-upload-pack"]}
} else := _name(array.slice(_parts, 0, count(_parts) - 1)) if {
	lib.https
	input.request.method == "POST"
	_parts[count(_parts) - 1] == "git-upload-pack"
	input.request.query == {}
}

_parts := split(trim_prefix(input.request.path, "/"), "/")

_name(parts) := concat("/", [input.destination.host, trim_suffix(_folded(concat("/", parts)), ".git")]) if {
	count(parts) > 0
	every part in parts {
		part != ""
	}
}

_folded(path) := lower(path) if hosts[input.destination.host]

_folded(path) := path if not hosts[input.destination.host]
