package probe

import "golang.org/x/sys/unix"

// Monotonic is the time that kernel programs see (ktime_get_ns), in ns.
func Monotonic() int64 {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts); err != nil {
		return 0
	}
	return ts.Nano()
}
