package agent

import (
	"crypto/tls"
	"fmt"
	"strings"

	"weft/protocol/tlshello"
	"weft/record"
	"weft/source/payload"
)

// handshake takes the first bytes of either side of a TLS connection.
func (x *exchanges) handshake(flow record.FlowKey, client, server []byte) {
	if !x.chosen.Wanted(flow.PID, flow.Comm) {
		return
	}
	if x.tls.live.Load() != nil && len(server) > 0 {
		x.secrets.hello(flow, payload.Now())
	}
	r := &record.Tlsflow{TLSKey: record.TLSKey{FlowKey: x.target(flow, 0, payload.Now())}, Count: 1}
	if h, ok := tlshello.ParseClientHello(client); ok {
		r.SNI, r.ALPN = strings.ToLower(h.ServerName), strings.Join(h.ALPN, ",")
	}
	if h, ok := tlshello.ParseServerHello(server); ok {
		r.Version, r.Cipher = versionName(h.Version), tls.CipherSuiteName(h.Cipher)
		// Before 1.3 the answer is in the hello; without one nothing was agreed on.
		if h.Version < tls.VersionTLS13 || h.ALPN != "" {
			r.ALPN = h.ALPN
		}
	}
	x.hellos.Add(r)
}

func versionName(v uint16) string {
	switch v {
	case tls.VersionTLS13:
		return "1.3"
	case tls.VersionTLS12:
		return "1.2"
	case tls.VersionTLS11:
		return "1.1"
	case tls.VersionTLS10:
		return "1.0"
	default:
		return fmt.Sprintf("0x%04x", v)
	}
}
