package bash

//go:generate go tool bpf2go -cc clang-14 -strip llvm-strip-14 -target amd64,arm64 -type bash_event -type bash_kind -type bash_stat -type file_key -type file_info bpf bash.bpf.c -- -O2 -g -Wall -Werror -mcpu=v3 -I../../bpf -I. -I/usr/include/x86_64-linux-gnu
