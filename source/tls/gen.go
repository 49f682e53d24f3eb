package tls

//go:generate go tool bpf2go -cc clang-14 -strip llvm-strip-14 -target amd64,arm64 -type tls_event -type tls_tie -type tls_life -type tls_stat -type object_key -type call_key bpf tls.bpf.c -- -O2 -g -Wall -Werror -mcpu=v3 -I../../bpf -I. -I/usr/include/x86_64-linux-gnu
