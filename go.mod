module sallyport

go 1.26.0

require (
	filippo.io/age v1.3.2 // opens encrypted files of secrets
	github.com/andybalholm/brotli v1.2.8 // br answers are decoded to be searched for credentials
	github.com/aws/aws-sdk-go-v2 v1.48.0 // signs what is asked of AWS (SigV4)
	github.com/coreos/go-systemd/v22 v22.7.0 // readiness, watchdog and socket activation
	github.com/elazarl/goproxy v1.9.3 // the handler chain that carries every request, and the point where CONNECT is decided
	github.com/google/go-containerregistry v0.22.1 // a registry for tests; not in the binary
	github.com/google/nftables v0.3.0 // the rules of a sealed namespace, without the nft program
	github.com/google/renameio/v2 v2.0.2 // files of the sidecar's state appear whole or not at all
	github.com/google/uuid v1.6.0 // UUIDv7 for records and sandboxes
	github.com/hashicorp/go-memdb v1.3.5 // the registry of sandboxes: indexed, with snapshots
	github.com/klauspost/compress v1.20.4 // gzip and zstd answers are decoded to be searched for credentials
	github.com/miekg/dns v1.1.73 // the wire format of the name server inside, and of those outside that are asked
	github.com/open-policy-agent/opa v1.22.2 // Rego
	github.com/opencontainers/image-spec v1.1.1 // manifests of images that are bundles
	github.com/prometheus/client_golang v1.24.1 // metrics, in the formats that Prometheus reads
	github.com/rs/zerolog v1.35.1 // encodes records, and logs of the proxy itself
	github.com/spf13/cobra v1.10.2 // the command line
	github.com/spf13/pflag v1.0.10 // the errors of the flags, to say them in plain words
	github.com/vektah/gqlparser/v2 v2.5.58 // reads documents of GraphQL, to tell what they execute
	github.com/vishvananda/netlink v1.3.1 // the loopback of a sealed namespace and its routes
	golang.org/x/mod v0.43.0 // the order of semantic versions
	golang.org/x/net v0.62.0 // public suffixes, IDNA, checks of header fields, BPF assembler
	golang.org/x/sync v0.25.0 // one certificate for many that ask at once
	golang.org/x/sys v0.50.0 // namespaces, mounts, seccomp, capabilities
	golang.org/x/term v0.48.0 // the terminal of an interactive command
	oras.land/oras-go/v2 v2.7.0 // bundles from OCI registries, with their tokens and digests
	software.sslmate.com/src/go-pkcs12 v0.7.4 // a trust store for Java
)

require (
	github.com/agnivade/levenshtein v1.2.1 // which key, flag or field a misspelt one may have meant
	github.com/goccy/go-yaml v1.19.2 // the configuration, with the place of each value
)

require (
	google.golang.org/genproto/googleapis/rpc v0.0.0-20260819154853-08b0e4226688 // the details of a status by which a gRPC client is refused
	google.golang.org/grpc v1.85.0 // the gRPC service and client of tests; not in the binary
	google.golang.org/protobuf v1.36.12 // encodes those details
)

require (
	github.com/beorn7/perks v1.0.1 // indirect
	github.com/cespare/xxhash/v2 v2.3.0 // indirect
	github.com/decred/dcrd/dcrec/secp256k1/v4 v4.4.1 // indirect
	github.com/gobwas/glob v1.0.0 // indirect
	github.com/goccy/go-json v0.10.6 // indirect
	github.com/golang-jwt/jwt/v5 v5.3.1 // assertions by which tokens are asked for
	github.com/google/go-cmp v0.7.0 // indirect
	github.com/hashicorp/go-immutable-radix v1.3.1 // indirect
	github.com/hashicorp/golang-lru v0.5.4 // indirect
	github.com/inconshreveable/mousetrap v1.1.0 // indirect
	github.com/kylelemons/godebug v1.1.0 // indirect
	github.com/lestrrat-go/blackmagic v1.0.4 // indirect
	github.com/lestrrat-go/dsig v1.4.0 // indirect
	github.com/lestrrat-go/dsig-secp256k1 v1.0.0 // indirect
	github.com/lestrrat-go/httpcc v1.0.1 // indirect
	github.com/lestrrat-go/httprc/v3 v3.0.6 // indirect
	github.com/lestrrat-go/jwx/v3 v3.3.0 // indirect
	github.com/lestrrat-go/option/v2 v2.0.0 // indirect
	github.com/mattn/go-colorable v0.1.14 // indirect
	github.com/mattn/go-isatty v0.0.20 // indirect
	github.com/mdlayher/netlink v1.7.3-0.20250113171957-fbb4dce95f42 // indirect
	github.com/mdlayher/socket v0.5.0 // indirect
	github.com/munnerz/goautoneg v0.0.0-20191010083416-a7dc8b61c822 // indirect
	github.com/prometheus/client_model v0.6.3 // indirect
	github.com/prometheus/common v0.70.1 // indirect
	github.com/prometheus/procfs v0.21.1 // indirect
	github.com/segmentio/asm v1.2.1 // indirect
	github.com/sirupsen/logrus v1.10.2 // indirect
	github.com/valyala/fastjson v1.6.10 // indirect
	github.com/vishvananda/netns v0.0.5 // indirect
	github.com/xeipuuv/gojsonpointer v0.0.0-20190905194746-02993c407bfb // indirect
	github.com/xeipuuv/gojsonreference v0.0.0-20180127040603-bd5ef7bd5415 // indirect
	github.com/yashtewari/glob-intersection v0.2.0 // indirect
	go.yaml.in/yaml/v3 v3.0.5 // indirect
	golang.org/x/crypto v0.59.0 // indirect
	golang.org/x/text v0.44.0 // indirect
)

require (
	filippo.io/hpke v0.4.0 // indirect
	github.com/aws/smithy-go v1.28.9 // indirect
)

require github.com/opencontainers/go-digest v1.0.0 // indirect
