# The sidecar and, as target `workload`, a container that has the binary as its
# entrypoint. Both builders of Docker take it.
#
#   docker build -t sallyport .
#   docker build -t agent --target workload --build-arg WORKLOAD_IMAGE=python:3 .
ARG GO_IMAGE=golang:1.26-bookworm
ARG BASE_IMAGE=scratch
# It has a shell and curl, and GO_IMAGE is made of it: nothing more is fetched.
ARG WORKLOAD_IMAGE=buildpack-deps:bookworm-curl

FROM ${GO_IMAGE} AS build
# A path below this directory takes that binary instead of compiling one.
ARG PREBUILT=
WORKDIR /src
COPY go.mod go.sum ./
RUN test -n "$PREBUILT" || go mod download
COPY . .
RUN mkdir -p /out/usr/local/bin /out/etc/ssl/certs /out/var/lib/sallyport/audit /out/run/sallyport /out/run/origin \
 && if [ -n "$PREBUILT" ]; then cp "$PREBUILT" /out/usr/local/bin/sallyport; \
    else CGO_ENABLED=0 go build -trimpath -o /out/usr/local/bin/sallyport ./cmd/sallyport; fi \
 && cp /etc/ssl/certs/ca-certificates.crt /out/etc/ssl/certs/ \
 && chmod 0700 /out/var/lib/sallyport/audit && chown -R 10001:10001 /out/var/lib/sallyport /out/run

FROM ${WORKLOAD_IMAGE} AS workload
COPY --from=build /out/usr/local/bin/sallyport /usr/local/bin/sallyport

FROM ${BASE_IMAGE} AS sidecar
COPY --from=build /out/ /
USER 10001:10001
HEALTHCHECK --interval=2s --timeout=5s --start-period=10s CMD ["/usr/local/bin/sallyport", "status"]
ENTRYPOINT ["/usr/local/bin/sallyport"]
CMD ["serve"]
