package payload

//go:generate go tool bpf2go -cc clang-14 -strip llvm-strip-14 -target amd64,arm64 -type flow_key -type row_key -type row_val -type payload_stat -type event_kind -type ev_row -type ev_open -type ev_chunk -type ev_dns -type ev_close -type stream -type early -type stream_mode -type method -type skip bpf payload.bpf.c -- -O2 -g -Wall -Werror -mcpu=v3 -I../../bpf -I. -I/usr/include/x86_64-linux-gnu
