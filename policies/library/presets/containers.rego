# Registries of container images, to pull from: Docker Hub, GitHub's, Quay and
# Microsoft's.
package sallyport.presets.containers

import data.sallyport.lib

# registries are those that carry names, with what they are called in an image's.
registries := {
	"registry-1.docker.io": "docker.io",
	"ghcr.io": "ghcr.io",
	"quay.io": "quay.io",
	"mcr.microsoft.com": "mcr.microsoft.com",
}

# issuers hand out the tokens that pulling takes.
issuers := {
	"auth.docker.io": ["/token", "docker.io"],
	"ghcr.io": ["/token", "ghcr.io"],
	"quay.io": ["/v2/auth", "quay.io"],
}

# stores are where registries lead for an image's parts, which are called by digests.
stores := {
	"production.cloudflare.docker.com",
	"docker-images-prod.6aa30f8b08e16409b46e0173d6de2f56.r2.cloudflarestorage.com",
	"pkg-containers.githubusercontent.com",
	"cdn.quay.io",
	"cdn01.quay.io",
	"cdn02.quay.io",
	"cdn03.quay.io",
	"*.data.mcr.microsoft.com",
}

# pull holds for pulling any image.
pull if image

pull if _around

pull if {
	_token
	every name in _scopes {
		name != ""
	}
}

# pull_of holds for pulling images such as {"docker.io/library/alpine", "ghcr.io/owner/*"}.
pull_of(images) if _named(images, image)

pull_of(_) if _around

pull_of(images) if {
	_token
	every name in _scopes {
		_named(images, name)
	}
}

# image is what is pulled, as REGISTRY/NAME, and undefined for everything else.
image := concat("/", array.concat([registry], array.slice(parts, 1, count(parts) - 2))) if {
	registry := registries[input.destination.host]
	_read
	parts := input.request.segments
	parts[0] == "v2"
	count(parts) > 3
	parts[count(parts) - 2] in {"blobs", "manifests", "referrers", "tags"}
	every part in parts {
		not contains(part, "/")
	}
}

_read if {
	lib.https
	input.request.method in {"GET", "HEAD"}
}

# What names no image: whether there is a registry, and parts by their digest.
_around if {
	registries[input.destination.host]
	_read
	input.request.path in {"/v2/", "/v2"}
}

_around if {
	lib.host_in(stores)
	_read
}

_token if {
	[path, _] := issuers[input.destination.host]
	lib.https
	input.request.method == "GET"
	input.request.path == path
}

# The images that a token is asked for, "" for one that is for more than to pull.
_scopes := [name |
	[_, registry] := issuers[input.destination.host]
	some value in object.get(input.request.query, "scope", [])
	some scope in split(value, " ")
	name := _scope(registry, scope)
]

_scope(registry, scope) := concat("/", [registry, split(scope, ":")[1]]) if {
	[kind, _, actions] := split(scope, ":")
	kind == "repository"
	actions == "pull"
} else := ""

_named(images, name) if images[name]

_named(images, name) if {
	parts := split(name, "/")
	images[concat("/", array.concat(array.slice(parts, 0, count(parts) - 1), ["*"]))]
}
