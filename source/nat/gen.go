package nat

//go:generate go tool bpf2go -cc clang-14 -strip llvm-strip-14 -target amd64,arm64 -type nat_kind -type nat_event -type nat_message bpf nat.bpf.c -- -O2 -g -Wall -Werror -mcpu=v3 -I../../bpf -I. -I/usr/include/x86_64-linux-gnu
