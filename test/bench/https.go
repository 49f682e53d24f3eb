package main

import (
	"fmt"
	"os/exec"
	"strconv"
	"strings"
)

// The ports of the same nginx over TLS 1.3.
const (
	tlsPort       = 443
	tlsLoggedPort = 444
)

// tlsServers stands in nginx's configuration before its last brace.
const tlsServers = `  ssl_certificate %[1]s/cert.pem; ssl_certificate_key %[1]s/key.pem; ssl_protocols TLSv1.3;
  server { listen %[2]s:443 ssl backlog=4096; }
  server { listen %[2]s:444 ssl backlog=4096; access_log %[1]s/access.log counts buffer=64k flush=100ms; }
}
`

// httpsKeepAlive is http_ka over TLS 1.3, under a collector that reads what is
// inside.
func httpsKeepAlive() workload {
	return workload{
		name: "https_ka", unit: "1M", full: true, secret: true,
		server: nginxWithTLS, ready: bound{"tcp", []uint16{tlsPort, tlsLoggedPort}, 2},
		client: func(l *lab, a amount) []string {
			argv := wrk(l, a)
			port := tlsPort
			if a.exact {
				port = tlsLoggedPort
			}
			argv[len(argv)-1] = fmt.Sprintf("https://%s:%d/s.html", serverIP, port)
			return argv
		},
		outcome: httpsOutcome,
	}
}

func nginxWithTLS(l *lab) ([]string, error) {
	argv, err := nginx(l)
	if err != nil {
		return nil, err
	}
	out, err := exec.Command("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2",
		"-subj", "/CN=bench", "-keyout", l.dir+"/key.pem", "-out", l.dir+"/cert.pem").CombinedOutput()
	if err != nil {
		return nil, fmt.Errorf("making a certificate: %w\n%s", err, out)
	}
	plain := strings.TrimSuffix(fmt.Sprintf(nginxConf, l.dir, serverIP), "}\n")
	_, err = l.writeFile("nginx.conf", plain+fmt.Sprintf(tlsServers, l.dir, serverIP))
	return argv, err
}

// httpsOutcome compares what is inside TLS: the bytes outside are not nginx's.
func httpsOutcome(f *finished) (outcome, error) {
	o, err := httpOutcome(f)
	if err != nil || !f.amount.exact {
		return o, err
	}
	logged, err := f.lab.logLines()
	if err != nil {
		return o, err
	}
	o.truth.addRequests(logged, int64(o.ops))
	o.truth.ports = []string{strconv.Itoa(tlsLoggedPort)}
	for _, e := range []end{o.truth.client, o.truth.server} {
		delete(e.want, bytesRead)
		delete(e.want, bytesWritten)
	}
	return o, nil
}
