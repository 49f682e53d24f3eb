// Gopeer is a TLS server or client for the tests of package tls. It builds with
// Go 1.17 too.
package main

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
)

func main() {
	log.SetFlags(0)
	switch os.Args[1] {
	case "serve":
		serve(os.Args[2])
	case "get":
		n, _ := strconv.Atoi(os.Args[4])
		get(os.Args[2], os.Args[3], n)
	case "steps":
		steps(os.Args[2])
	case "raw":
		raw(os.Args[2])
	}
}

// serve answers "answer N of PATH" to every request.
func serve(pem string) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(l.Addr().(*net.TCPAddr).Port)
	s := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		fmt.Fprintf(w, "answer to %s with %s;", r.URL.Path, b)
	})}
	log.Fatal(s.ServeTLS(l, pem, pem))
}

// get waits for a line, then sends n requests, some at a time.
func get(url, version string, n int) {
	bufio.NewReader(os.Stdin).ReadString('\n')
	t := &http.Transport{
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, ForceAttemptHTTP2: version == "2",
		MaxConnsPerHost: 4, MaxIdleConnsPerHost: 4,
	}
	if version == "1.2" {
		t.TLSClientConfig.MaxVersion = tls.VersionTLS12
	}
	c := &http.Client{Transport: t}
	var wait sync.WaitGroup
	next := make(chan int)
	for i := 0; i < 4; i++ {
		wait.Add(1)
		go func() {
			defer wait.Done()
			for i := range next {
				r, err := c.Post(fmt.Sprintf("%s/r%dx", url, i), "text/plain", strings.NewReader(fmt.Sprintf("body %d.", i)))
				if err != nil {
					log.Fatal(err)
				}
				io.Copy(io.Discard, r.Body)
				r.Body.Close()
			}
		}()
	}
	for i := 0; i < n; i++ {
		next <- i
	}
	close(next)
	wait.Wait()
	t.CloseIdleConnections()
}

// steps sends a request on one connection for each line it reads, and says when
// the answer has come.
func steps(url string) {
	in := bufio.NewScanner(os.Stdin)
	c := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}
	for i := 0; in.Scan(); i++ {
		r, err := c.Get(fmt.Sprintf("%s/step%d", url, i))
		if err != nil {
			log.Fatal(err)
		}
		io.Copy(io.Discard, r.Body)
		r.Body.Close()
		fmt.Println("done", i)
	}
}

// raw lets the first Write do the handshake, and reads into the stack.
func raw(addr string) {
	bufio.NewReader(os.Stdin).ReadString('\n')
	plain, err := net.Dial("tcp", addr)
	if err != nil {
		log.Fatal(err)
	}
	c := tls.Client(plain, &tls.Config{InsecureSkipVerify: true})
	if _, err := c.Write([]byte("GET /r0x HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")); err != nil {
		log.Fatal(err)
	}
	var buf [512]byte
	for {
		if _, err := c.Read(buf[:]); err != nil {
			break
		}
		grow(100)
	}
	c.Close()
}

func grow(n int) byte {
	var pad [256]byte
	if n == 0 {
		return pad[n]
	}
	return grow(n-1) + pad[n]
}
