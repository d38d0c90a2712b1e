package proxy

import (
	"crypto/tls"
	"errors"
	"sync"
	"time"
)

// A tlsServer holds the settings of one sandbox's intercepted connections.
// Session tickets open no session of another leaf or another sandbox: each keeps
// a configuration, and with it keys, of its own (hostile 44).
type tlsServer struct {
	mu      sync.Mutex
	configs map[*tls.Certificate]*tls.Config
	base    *tls.Config
}

func newTLSServer() *tlsServer {
	return &tlsServer{
		configs: map[*tls.Certificate]*tls.Config{},
		base: &tls.Config{
			MinVersion: tls.VersionTLS12,
			NextProtos: []string{"h2", "http/1.1", "http/1.0"},
			Time:       time.Now,
			GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
				return nil, errors.New("no leaf was chosen")
			},
		},
	}
}

// maxConfigs bounds the configurations that are kept beside the issuer's own
// cache of leaves.
const maxConfigs = 1024

func (t *tlsServer) forLeaf(c *tls.Certificate) *tls.Config {
	t.mu.Lock()
	defer t.mu.Unlock()
	if cfg, ok := t.configs[c]; ok {
		return cfg
	}
	if len(t.configs) >= maxConfigs {
		clear(t.configs)
	}
	cfg := t.base.Clone()
	cfg.GetCertificate = nil
	cfg.Certificates = []tls.Certificate{*c}
	t.configs[c] = cfg
	return cfg
}
