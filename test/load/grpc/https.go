package main

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
)

// serveHTTPS answers with 200, and paths with "none" with 404.
func serveHTTPS(addr, pem string) error {
	server := &http.Server{Addr: addr, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, err := io.Copy(io.Discard, r.Body); err != nil {
			return // the client has gone
		}
		if strings.Contains(r.URL.Path, "none") {
			w.WriteHeader(http.StatusNotFound)
		}
		write(w, make([]byte, 3000))
	})}
	return server.ListenAndServeTLS(pem, pem)
}

// get sends GET url/0 to url/n-1, then GET url/none, and POSTs 30 kB to url/post.
func get(url string, n int) error {
	transport := &http.Transport{
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, //nolint:gosec // the test's own certificate
	}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport}
	ask := func(method, path string, body io.Reader) error {
		req, err := http.NewRequest(method, url+path, body)
		if err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		res, err := client.Do(req)
		if err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		_, err = io.Copy(io.Discard, res.Body)
		return errors.Join(err, res.Body.Close())
	}
	for i := range n {
		if err := ask(http.MethodGet, "/"+strconv.Itoa(i), nil); err != nil {
			return err
		}
	}
	if err := ask(http.MethodGet, "/none", nil); err != nil {
		return err
	}
	return ask(http.MethodPost, "/post", strings.NewReader(strings.Repeat("g", 30_000)))
}
