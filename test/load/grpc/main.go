// Command grpc is a gRPC client and its server, which count what they did, an
// HTTP/2 server that can be upgraded to, and a client and server of HTTPS. It
// has a module of its own so that what it needs stays out of the collector's.
//
//	grpc h2c 198.18.0.2:9000
//	grpc server 198.18.0.2:9000 [PEM]     over TLS with a certificate and its key
//	grpc client 198.18.0.2:9000 N [tls]   N rounds of every kind of call, over each of two connections
//	grpc https 198.18.0.2:9000 PEM
//	grpc get https://198.18.0.2:9000/PREFIX N
package main

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "grpc:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	const usage = "usage: grpc h2c ADDR | server ADDR [PEM] | client ADDR ROUNDS [tls] | https ADDR PEM | get URL N"
	if len(args) < 2 {
		return errors.New(usage)
	}
	arg := append(args[2:], "", "")
	switch args[0] {
	case "h2c":
		return serveH2C(args[1])
	case "server":
		return serve(args[1], arg[0])
	case "https":
		return serveHTTPS(args[1], arg[0])
	}
	n, err := strconv.Atoi(arg[0])
	if err != nil {
		return fmt.Errorf("%s: %w", usage, err)
	}
	if args[0] == "get" {
		return get(args[1], n)
	}
	return call(args[1], n, arg[1] == "tls")
}

const service = "weft.test.Echo"

// echo is the service; gRPC wants a type for it.
type echo interface{}

func serve(addr, pem string) error {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return fmt.Errorf("listening: %w", err)
	}
	var options []grpc.ServerOption
	if pem != "" {
		secret, err := credentials.NewServerTLSFromFile(pem, pem)
		if err != nil {
			return fmt.Errorf("reading the certificate: %w", err)
		}
		options = append(options, grpc.Creds(secret))
	}
	s := grpc.NewServer(options...)
	s.RegisterService(&grpc.ServiceDesc{
		ServiceName: service, HandlerType: (*echo)(nil),
		Methods: []grpc.MethodDesc{{MethodName: "Unary", Handler: unary}, {MethodName: "Slow", Handler: slow}},
		Streams: []grpc.StreamDesc{
			{StreamName: "Upload", Handler: upload, ClientStreams: true},
			{StreamName: "Download", Handler: download, ServerStreams: true},
			{StreamName: "Chat", Handler: chat, ClientStreams: true, ServerStreams: true},
		},
	}, nil)
	return s.Serve(l)
}

type decoder = func(any) error

// unary ends with the status code that it is sent.
func unary(_ any, _ context.Context, decode decoder, _ grpc.UnaryServerInterceptor) (any, error) {
	var in wrapperspb.UInt32Value
	if err := decode(&in); err != nil {
		return nil, err
	}
	if in.Value != 0 {
		return nil, status.Error(codes.Code(in.Value), "as asked, and with a text that is no header: 100 %, \n")
	}
	return &in, nil
}

// late is how long slow takes, whatever its caller's patience is.
const late = 300 * time.Millisecond

func slow(_ any, _ context.Context, decode decoder, _ grpc.UnaryServerInterceptor) (any, error) {
	var in wrapperspb.UInt32Value
	if err := decode(&in); err != nil {
		return nil, err
	}
	time.Sleep(late)
	return &in, nil
}

const messages = 10

func upload(_ any, s grpc.ServerStream) error {
	var in wrapperspb.BytesValue
	for range messages {
		if err := s.RecvMsg(&in); err != nil {
			return err
		}
	}
	return s.SendMsg(&in)
}

func download(_ any, s grpc.ServerStream) error {
	var in wrapperspb.BytesValue
	if err := s.RecvMsg(&in); err != nil {
		return err
	}
	for range messages {
		if err := s.SendMsg(&in); err != nil {
			return err
		}
	}
	return status.Error(codes.Aborted, "after some messages")
}

func chat(_ any, s grpc.ServerStream) error {
	var in wrapperspb.BytesValue
	for range messages {
		if err := s.RecvMsg(&in); err != nil {
			return err
		}
		if err := s.SendMsg(&in); err != nil {
			return err
		}
	}
	return nil
}

// caller makes calls and counts them by "path code".
type caller struct {
	conn   *grpc.ClientConn
	counts map[string]int
}

// call prints the counts of all calls as one line of JSON.
func call(addr string, rounds int, secret bool) error {
	counts := map[string]int{}
	trust := insecure.NewCredentials()
	if secret {
		trust = credentials.NewTLS(&tls.Config{InsecureSkipVerify: true}) //nolint:gosec // the test's own certificate
	}
	for range 2 {
		conn, err := grpc.NewClient(addr, grpc.WithTransportCredentials(trust))
		if err != nil {
			return fmt.Errorf("making a client: %w", err)
		}
		c := caller{conn: conn, counts: counts}
		for range rounds {
			if err := c.round(); err != nil {
				return err
			}
		}
		if err := conn.Close(); err != nil {
			return fmt.Errorf("closing: %w", err)
		}
	}
	return json.NewEncoder(os.Stdout).Encode(counts)
}

// round calls Unary for each status code there is, and everything else once.
func (c caller) round() error {
	for code := range uint32(17) {
		if err := c.unary("Unary", time.Minute, codes.Code(code), codes.Code(code)); err != nil {
			return err
		}
	}
	// A call that its caller gives up has no status on the wire.
	if err := c.unary("Slow", late/6, 0, codes.DeadlineExceeded); err != nil {
		return err
	}
	for _, s := range []struct {
		name           string
		send, received int
		want           codes.Code
	}{{"Upload", messages, 1, codes.OK}, {"Download", 1, messages, codes.Aborted}, {"Chat", messages, messages, codes.OK}} {
		if err := c.stream(s.name, s.send, s.received, s.want); err != nil {
			return err
		}
	}
	return nil
}

func (c caller) unary(name string, patience time.Duration, send, want codes.Code) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	path := "/" + service + "/" + name
	err := c.conn.Invoke(ctx, path, wrapperspb.UInt32(uint32(send)), &wrapperspb.UInt32Value{})
	if status.Code(err) != want {
		return fmt.Errorf("%s: got %w, want %s", path, err, want)
	}
	key := strconv.Itoa(int(want))
	if name == "Slow" {
		key = "-1"
	}
	c.counts[path+" "+key]++
	return nil
}

// stream sends and receives in turn, as far as both go.
func (c caller) stream(name string, send, receive int, want codes.Code) error {
	path := "/" + service + "/" + name
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	s, err := c.conn.NewStream(ctx, &grpc.StreamDesc{ClientStreams: true, ServerStreams: true}, path)
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	in, out := &wrapperspb.BytesValue{}, wrapperspb.Bytes(make([]byte, 20_000))
	for i := range max(send, receive) {
		if i < send {
			err = s.SendMsg(out)
		}
		if i == send-1 {
			err = errors.Join(err, s.CloseSend())
		}
		if i >= send-receive {
			err = errors.Join(err, s.RecvMsg(in))
		}
		if err != nil {
			return fmt.Errorf("%s: message %d: %w", path, i, err)
		}
	}
	if err := s.RecvMsg(in); want == codes.OK && !errors.Is(err, io.EOF) || want != codes.OK && status.Code(err) != want {
		return fmt.Errorf("%s: ended with %w, want %s", path, err, want)
	}
	c.counts[path+" "+strconv.Itoa(int(want))]++
	return nil
}
