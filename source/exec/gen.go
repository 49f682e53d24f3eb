package exec

//go:generate go tool bpf2go -cc clang-14 -strip llvm-strip-14 -target amd64,arm64 -type exec_event -type exec_kind -type exec_stat -type member -type program bpf exec.bpf.c -- -O2 -g -Wall -Werror -mcpu=v3 -I../../bpf -I. -I/usr/include/x86_64-linux-gnu
