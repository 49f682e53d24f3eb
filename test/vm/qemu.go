package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"syscall"
	"time"
)

// qemu is the emulator in use.
type qemu struct {
	path  string
	major int
}

// machine is what the guest gets.
type machine struct {
	mem     int // MiB
	smp     int
	timeout time.Duration
	accel   string
}

// findQEMU takes $QEMU or the one in PATH.
func findQEMU(ctx context.Context) (qemu, error) {
	path := os.Getenv("QEMU")
	if path == "" {
		path = "qemu-system-x86_64"
	}
	out, err := exec.CommandContext(ctx, path, "--version").Output()
	if err != nil {
		return qemu{}, fmt.Errorf("no QEMU; as root `make vm-deps` installs it: %w", err)
	}
	m := regexp.MustCompile(`version (\d+)\.`).FindSubmatch(out)
	if m == nil {
		return qemu{}, fmt.Errorf("%s --version says %q", path, out)
	}
	major, err := strconv.Atoi(string(m[1]))
	if err != nil {
		return qemu{}, fmt.Errorf("%s --version: %w", path, err)
	}
	return qemu{path: path, major: major}, nil
}

// old QEMU (7.2, of Debian bookworm) leaves garbage in EFLAGS after cmpxchg16b.
func (q qemu) old() bool { return q.major < 8 }

// refuses says why a kernel is not to be run. 6.12 panicked on QEMU 7.2 in every heavy run, now and then in light
// ones; switching cmpxchg16b off instead breaks sk_storage, task_storage and timers of newer kernels silently.
func (q qemu) refuses(version string) error {
	if q.old() && slices.Compare(series(version), []int{6, 12}) >= 0 {
		return fmt.Errorf("QEMU %d mis-executes cmpxchg16b, kernels from 6.12 on need QEMU 10 (make vm-deps)", q.major)
	}
	return nil
}

// cmdline: panic=-1 restarts at once, which with -no-reboot ends QEMU. no_timer_check: on a loaded host an SMP guest
// once died of "IO-APIC + timer doesn't work".
const cmdline = "console=ttyS0 quiet panic=-1 mitigations=off tsc=reliable no_timer_check random.trust_cpu=1"

// args makes QEMU's command line: kernel's console on the first serial port, the report on the second.
func (m machine) args(k kernel, initrd, console, report string) []string {
	return []string{
		"-M", "q35", "-accel", m.accel, "-cpu", "max",
		"-smp", strconv.Itoa(m.smp), "-m", strconv.Itoa(m.mem),
		"-nodefaults", "-no-user-config", "-display", "none", "-no-reboot", "-nic", "none",
		"-kernel", k.image, "-initrd", initrd, "-append", cmdline,
		"-serial", "file:" + console, "-serial", "file:" + report,
	}
}

// errTimeout says that the guest was still running when its time was up.
var errTimeout = errors.New("timeout")

// boot runs the guest until it restarts or its time is up.
func (q qemu) boot(ctx context.Context, m machine, k kernel, initrd, console, report string) error {
	ctx, cancel := context.WithTimeoutCause(ctx, m.timeout, errTimeout)
	defer cancel()
	// Pdeathsig belongs to the thread that starts the child, and the guest must not outlive us.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	cmd := exec.CommandContext(ctx, q.path, m.args(k, initrd, console, report)...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	out, err := cmd.CombinedOutput()
	if cause := context.Cause(ctx); cause != nil {
		return fmt.Errorf("the guest was ended after %v: %w", m.timeout, cause)
	}
	if err != nil {
		return fmt.Errorf("qemu: %w\n%s", err, out)
	}
	return nil
}
