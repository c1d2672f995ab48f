package network

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"net"
	"sync"
	"time"
)

// keys are what TLS listeners show. The lab has no certificate authority that
// anybody trusts: each name gets a certificate of its own, signed by itself.
type keys struct {
	mu     sync.Mutex
	byName map[string]*tls.Certificate
}

func newKeys() *keys { return &keys{byName: map[string]*tls.Certificate{}} }

// certificate is the one for a name, made when it is first asked for.
func (k *keys) certificate(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	name := hello.ServerName
	if name == "" {
		name = "lab.invalid"
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if c := k.byName[name]; c != nil {
		return c, nil
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	t := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name, Organization: []string{"lab"}}, DNSNames: []string{name},
		NotBefore: time.Unix(0, 0), NotAfter: time.Unix(1<<33, 0), KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, t, t, &key.PublicKey, key)
	if err != nil {
		return nil, err
	}
	c := &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
	k.byName[name] = c
	return c, nil
}

// bridge ends TLS for a client and goes on to the machine, as a TLS listener does.
func (k *keys) bridge(ctx context.Context, client, machine net.Conn, p path) error {
	outer := tls.Server(client, &tls.Config{GetCertificate: k.certificate, MinVersion: tls.VersionTLS12})
	if err := outer.HandshakeContext(ctx); err != nil {
		_ = client.Close()
		_ = machine.Close()
		return err
	}
	inner := machine
	if p.backTLS {
		// A load balancer does not look at its targets' certificates.
		inner = tls.Client(machine, &tls.Config{InsecureSkipVerify: true}) //nolint:gosec // as AWS does
	}
	relay(outer, inner)
	return nil
}
