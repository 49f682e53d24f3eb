package datakit

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"weft/config"
)

const (
	typeProtobuf = "application/protobuf; proto=com.guance.Point"
	typeLines    = "application/line-protocol"

	defaultTimeout = 10 * time.Second
	// A body is read for the sake of the connection and of the error text; a
	// longer or slower one costs the connection instead.
	maxBody   = 64 << 10
	drainTime = time.Second
	// errorText bounds what is kept of an error's body.
	errorText = 512
)

// Client posts encoded requests and error reports to the configured server. It
// is safe for concurrent use.
type Client struct {
	base    *url.URL
	timeout time.Duration
	http    *http.Client
	reports *reporter
}

// NewClient returns a client for cfg.Server, whose path and query are kept. It
// does not connect yet; the error is about the URL.
func NewClient(cfg config.DataKit) (*Client, error) {
	server := cfg.Server
	if !strings.Contains(server, "://") {
		server = "http://" + server
	}
	base, err := url.Parse(server)
	if err != nil {
		return nil, fmt.Errorf("parse DataKit server: %w", err)
	}
	if (base.Scheme != "http" && base.Scheme != "https") || base.Host == "" {
		return nil, fmt.Errorf("DataKit server %q is not an http or https URL", cfg.Server)
	}
	c := &Client{base: base, timeout: cfg.Timeout}
	if c.timeout <= 0 {
		c.timeout = defaultTimeout
	}
	c.http = &http.Client{
		Transport: &http.Transport{
			Proxy:                  proxy,
			MaxIdleConnsPerHost:    2,
			IdleConnTimeout:        90 * time.Second,
			MaxResponseHeaderBytes: 64 << 10,
			DisableCompression:     true,
		},
		CheckRedirect: sameServer,
	}
	c.reports = newReporter(c.postError)
	return c, nil
}

// proxy is that of the environment, but none for 0.0.0.0, the reference's
// default for a DataKit on this host.
func proxy(req *http.Request) (*url.URL, error) {
	if ip, err := netip.ParseAddr(req.URL.Hostname()); err == nil && ip.IsUnspecified() {
		return nil, nil
	}
	return http.ProxyFromEnvironment(req)
}

// sameServer follows a redirect only where it repeats the POST on the same
// host. Any other would send the flows to strangers, or turn the POST into a
// GET whose 200 looks like success.
func sameServer(next *http.Request, via []*http.Request) error {
	first := via[0]
	if len(via) > 3 || next.Method != first.Method || next.URL.Host != first.URL.Host ||
		next.URL.Scheme != first.URL.Scheme {
		return http.ErrUseLastResponse
	}
	return nil
}

// Close gives waiting error reports a last chance of two seconds and closes idle
// connections.
func (c *Client) Close() {
	c.reports.close()
	c.http.CloseIdleConnections()
}

// Send makes one attempt to deliver a message that Sink enqueued: a POST to
// <server>/v1/write/<kind>?input=<name>. Any 2xx is success. A *StatusError
// says whether trying again can help; every other error is of the network or
// of an answer that is not HTTP, and temporary.
func (c *Client) Send(ctx context.Context, msg []byte) error {
	e, err := parseEnvelope(msg)
	if err != nil {
		return &badMessage{err}
	}
	target := c.url("v1/write/"+e.kind, "input", e.input)
	header := http.Header{"Content-Type": {typeProtobuf}}
	if e.lines {
		header.Set("Content-Type", typeLines)
	}
	if e.gzip {
		header.Set("Content-Encoding", "gzip")
	}
	err = c.post(ctx, target, header, e.body)
	var status *StatusError
	if errors.As(err, &status) && status.Permanent() {
		c.ReportError(fmt.Sprintf("%s: %v", e.input, err))
	}
	return err
}

// url joins the server's path and the path, and the server's query and one
// parameter.
func (c *Client) url(path, key, value string) string {
	u := c.base.JoinPath(path)
	if key != "" {
		q := u.Query()
		q.Set(key, value)
		u.RawQuery = q.Encode()
	}
	return u.String()
}

func (c *Client) post(ctx context.Context, target string, header http.Header, body []byte) error {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, target, bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("make request: %w", err)
	}
	header.Set("User-Agent", "weft")
	req.Header = header
	resp, err := c.http.Do(req)
	if err != nil {
		return fmt.Errorf("post: %w", err)
	}
	defer resp.Body.Close()
	// The answer is known: its body may not hold up the next message for long.
	slow := time.AfterFunc(drainTime, cancel)
	defer slow.Stop()
	text, _ := io.ReadAll(io.LimitReader(resp.Body, errorText))
	_, _ = io.CopyN(io.Discard, resp.Body, maxBody)
	if resp.StatusCode/100 == 2 {
		return nil
	}
	return newStatusError(resp, text)
}
