package main

import (
	"io"
	"log"
	"net/http"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/h2c"
)

// serveH2C answers in each of the ways a stream can end.
func serveH2C(addr string) error {
	mux := http.NewServeMux()
	mux.HandleFunc("/trailers", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Trailer", "X-Sum")
		write(w, make([]byte, 50_000))
		w.Header().Set("X-Sum", "1")
	})
	mux.HandleFunc("/echo", func(w http.ResponseWriter, r *http.Request) {
		if _, err := io.Copy(w, r.Body); err != nil {
			log.Print("echo: ", err)
		}
	})
	mux.HandleFunc("/none", http.NotFound)
	mux.HandleFunc("/abort", func(w http.ResponseWriter, _ *http.Request) {
		write(w, []byte("then no more"))
		if f, ok := w.(http.Flusher); ok {
			f.Flush()
		}
		panic(http.ErrAbortHandler)
	})
	mux.HandleFunc("/never", func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	server := &http.Server{Addr: addr, Handler: h2c.NewHandler(mux, &http2.Server{MaxConcurrentStreams: 1000})}
	return server.ListenAndServe()
}

func write(w io.Writer, b []byte) {
	if _, err := w.Write(b); err != nil {
		log.Print("answering: ", err)
	}
}
