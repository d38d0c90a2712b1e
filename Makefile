GO ?= go
STATICCHECK = $(GO) run honnef.co/go/tools/cmd/staticcheck@v0.8.2
POLICIES = policies/default policies/library/tests/lib policies/library/tests/presets policies/presets policies/scaffold policies/examples/guardrails policies/examples/tenants policies/examples/github policies/examples/packages policies/examples/llm policies/examples/grpc policies/examples/browser policies/examples/names deploy/compose/policy
TESTFLAGS ?= -race -tags netgo,osusergo -count=1 -timeout 25m

.PHONY: build install check test tools fuzz soak mutants bench bench-peers clean

build: ## the static binary
	CGO_ENABLED=0 $(GO) build -trimpath -o bin/sallyport ./cmd/sallyport

install: build
	install -m 0755 bin/sallyport /usr/local/bin/sallyport

check: build ## format, vet, staticcheck, policies
	@test -z "$$(gofmt -l $$(git ls-files '*.go'))" || { echo "not formatted:"; gofmt -l $$(git ls-files '*.go'); exit 1; }
	$(GO) vet ./...
	$(STATICCHECK) ./...
	bin/sallyport policy fmt --check policies deploy/compose/policy
	bin/sallyport policy check $(POLICIES)
	bin/sallyport policy test $(POLICIES)

tools: ## what the tests need: installed as root, named otherwise
	./scripts/tools.sh

test: tools ## everything, at most 30 minutes on two cores
	$(GO) test $(TESTFLAGS) ./...

fuzz: ## each fuzz test for a while: make fuzz FUZZTIME=5m
	./scripts/fuzz.sh $(or $(FUZZTIME),30s)

soak: tools ## the long counts
	SALLYPORT_SOAK=1 $(GO) test $(TESTFLAGS) -timeout 3h -v -run 'Killed|Flood|Soak|ManyConnections|StreamLatency|LargeBodies|GivenUp|Sound|BundlesUnderLoad|Canaries' ./...

mutants: tools ## takes each guard out: its test must fail
	$(GO) run ./mutants

bench: build ## CPU per request beside a bare proxy, in one run
	$(GO) run ./bench

bench-peers: build ## beside squid, mitmproxy and a bare proxy, in one run: a table of ratios
	./scripts/tools.sh peers
	$(GO) run ./bench -peers -rounds 5

clean:
	rm -rf bin
