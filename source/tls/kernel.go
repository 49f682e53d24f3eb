package tls

import (
	"errors"
	"fmt"
	"strings"
	"syscall"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/features"
	"github.com/cilium/ebpf/link"
	"github.com/cilium/ebpf/rlimit"

	"weft/config"
	"weft/probe"
	"weft/probe/uprobe"
)

// kernel is the loaded object: its maps, the programs for functions of TLS
// libraries, and the doors. Links must stay referenced: the garbage collector
// closes those that are not (kernel-lab.md section 9).
type kernel struct {
	spec *ebpf.CollectionSpec
	base *ebpf.Collection // maps
	// functions are the uprobe programs by name; multi tells which link they are for.
	functions map[string]*ebpf.Program
	multi     bool
	// socketDoor is the rung that held; sockets has no links while it is shut.
	socketDoor door
	sockets    *opened
	processes  *opened
}

// door is one way to see an event: the programs that it needs together.
type door struct {
	name, cost string
	programs   []string
	attach     func(name string, p *ebpf.Program) (link.Link, error)
}

// opened is what a door holds while it is open.
type opened struct {
	programs map[string]*ebpf.Program
	links    []link.Link
}

func (o *opened) close() {
	if o == nil {
		return
	}
	o.detach()
	for _, p := range o.programs {
		p.Close()
	}
}

// loadKernel creates the maps. Those in shared are another source's, and used
// as they are.
func loadKernel(cfg *config.Config, shared map[string]*ebpf.Map) (*kernel, error) {
	// Before 5.11 maps count against the limit. Without the right to raise it
	// they may still fit, and if not, creating them says so.
	_ = rlimit.RemoveMemlock()
	spec, err := loadBpf()
	if err != nil {
		return nil, fmt.Errorf("read the BPF object: %w", err)
	}
	replace := map[string]*ebpf.Map{}
	for name, m := range shared {
		if s := spec.Maps[name]; s != nil {
			s.MaxEntries = m.MaxEntries()
			replace[name] = m
		}
	}
	for name, n := range map[string]int{
		"objects": cfg.L7.MaxConns, "events": cfg.L7.RingSize << 20,
		"calls": cfg.Tables.Side, "procs": cfg.Tables.Side, "prints": cfg.Tables.Side,
	} {
		if n > 0 {
			spec.Maps[name].MaxEntries = min(spec.Maps[name].MaxEntries, uint32(n))
		}
	}
	maps := spec.Copy()
	maps.Programs = map[string]*ebpf.ProgramSpec{}
	base, err := ebpf.NewCollectionWithOptions(maps, ebpf.CollectionOptions{MapReplacements: replace})
	if err != nil {
		return nil, fmt.Errorf("create BPF maps: %w", err)
	}
	return &kernel{spec: spec, base: base}, nil
}

func (k *kernel) close() {
	k.sockets.close()
	k.processes.close()
	for _, p := range k.functions {
		p.Close()
	}
	k.base.Close()
}

// load loads the named programs against the maps that exist.
func (k *kernel) load(names []string, change func(*ebpf.ProgramSpec)) (map[string]*ebpf.Program, error) {
	sub := k.spec.Copy()
	keep := map[string]*ebpf.ProgramSpec{}
	for _, n := range names {
		keep[n] = sub.Programs[n]
		if change != nil {
			change(keep[n])
		}
	}
	sub.Programs = keep
	coll, err := ebpf.NewCollectionWithOptions(sub, ebpf.CollectionOptions{MapReplacements: k.base.Maps})
	if err != nil {
		return nil, fmt.Errorf("load %s: %w", strings.Join(names, ", "), plain(err))
	}
	defer coll.Close()
	out := map[string]*ebpf.Program{}
	for _, n := range names {
		out[n] = coll.DetachProgram(n)
	}
	return out, nil
}

// plain drops the verifier's log, of which only the last line matters to a
// user, and the library's guess about memlock, which is wrong where a hook is
// refused.
func plain(err error) error {
	var v *ebpf.VerifierError
	switch {
	case errors.As(err, &v):
		return fmt.Errorf("%w (%s)", v.Cause, lastLine(v.Log))
	case errors.Is(err, syscall.EPERM):
		return syscall.EPERM
	}
	return err
}

func lastLine(log []string) string {
	for i := len(log) - 1; i >= 0; i-- {
		if l := strings.TrimSpace(log[i]); l != "" && !strings.HasPrefix(l, "processed ") {
			return l
		}
	}
	return "no verifier log"
}

// open loads and attaches a door's programs, all or nothing.
func (k *kernel) open(d door) (*opened, error) {
	progs, err := k.load(d.programs, nil)
	if err != nil {
		return nil, err
	}
	o := &opened{programs: progs}
	if err := o.attach(d); err != nil {
		o.close()
		return nil, err
	}
	return o, nil
}

// attach attaches the programs, all or nothing.
func (o *opened) attach(d door) error {
	for _, name := range d.programs {
		l, err := d.attach(name, o.programs[name])
		if err != nil {
			o.detach()
			return fmt.Errorf("attach %s: %w", name, err)
		}
		o.links = append(o.links, l)
	}
	return nil
}

func (o *opened) detach() {
	uprobe.Detach(o.links)
	o.links = nil
}

func attachTracing(_ string, p *ebpf.Program) (link.Link, error) {
	return link.AttachTracing(link.TracingOptions{Program: p})
}

func attachKprobe(name string, p *ebpf.Program) (link.Link, error) {
	symbol := "tcp_cleanup_rbuf"
	if name == "sock_sent_kprobe" {
		symbol = "tcp_sendmsg"
	}
	return link.Kprobe(symbol, p, nil)
}

// socketDoors show which socket a thread uses inside a call.
func socketDoors() []door {
	const cost = "while a process with TLS runs: one map look-up per socket call of other processes"
	return []door{
		{
			name: "tp_btf sock_send_length, sock_recv_length", attach: attachTracing, cost: cost,
			programs: []string{"sock_sent_tp", "sock_received_tp"},
		},
		{
			name: "fentry tcp_sendmsg, tcp_cleanup_rbuf", attach: attachTracing, cost: cost,
			programs: []string{"sock_sent_fentry", "sock_received_fentry"},
		},
		{
			name: "kprobe tcp_sendmsg, tcp_cleanup_rbuf", attach: attachKprobe, cost: cost + ", at the price of a kprobe",
			programs: []string{"sock_sent_kprobe", "sock_received_kprobe"},
		},
	}
}

// climbSockets finds the socket door, and leaves it shut: it is open only
// while a process with TLS runs.
func (k *kernel) climbSockets(doors []door) probe.Capability {
	rungs := make([]probe.Rung, 0, len(doors))
	for _, d := range doors {
		rungs = append(rungs, probe.Rung{Door: d.name, Cost: d.cost, Try: func() error {
			o, err := k.open(d)
			if err == nil {
				o.detach()
				k.socketDoor, k.sockets = d, o
			}
			return err
		}})
	}
	return probe.Climb("tls connections", "httpflow-tls", rungs...)
}

// watchSockets opens or shuts the socket door. Its programs stay loaded, so that
// it opens within a millisecond; kernels before 5.13 attach some only once.
func (k *kernel) watchSockets(on bool) error {
	if on == (len(k.sockets.links) > 0) {
		return nil
	}
	if !on {
		k.sockets.detach()
		return nil
	}
	if k.sockets.attach(k.socketDoor) == nil {
		return nil
	}
	o, err := k.open(k.socketDoor)
	if err == nil {
		k.sockets.close()
		k.sockets = o
	}
	return err
}

// deny has the kernel side take nothing of a process, or take it again.
func (k *kernel) deny(pid int, denied bool) error {
	var flags uint32
	procs, tgid := k.base.Maps["procs"], uint32(pid)
	err := procs.Lookup(tgid, &flags)
	known := err == nil
	switch {
	case err != nil && !errors.Is(err, ebpf.ErrKeyNotExist):
		return fmt.Errorf("look up a process: %w", err)
	case denied && flags&procDenied == 0:
		return procs.Put(tgid, flags|procDenied)
	case !denied && known && flags&procDenied != 0:
		return procs.Put(tgid, flags&^procDenied)
	}
	return nil
}

// procDenied is PROC_DENIED of objects.h.
const procDenied = 16

func functionPrograms() []string {
	return []string{
		"c_read", "c_write", "c_read_ex", "c_write_ex", "c_sendfile", "c_handshake", "c_return", "c_free", "c_bio_write",
		"go_read", "go_write", "go_handshake", "go_return", "go_close",
	}
}

// ladders are the rungs that a source may stand on.
type ladders struct {
	functions []functionRung
	sockets   []door
}

// functionRung is one way to put probes into functions of processes.
type functionRung struct {
	name  string
	multi bool
}

func functionRungs() []functionRung { return []functionRung{{"uprobe_multi", true}, {"uprobe", false}} }

// climbFunctions loads the programs for functions of processes.
func (k *kernel) climbFunctions(ways []functionRung) probe.Capability {
	const cost = "two runs per read or write of TLS, in the process that does it"
	rungs := make([]probe.Rung, 0, len(ways))
	for _, w := range ways {
		rungs = append(rungs, probe.Rung{Door: w.name, Cost: cost, Try: func() error { return k.loadFunctions(w.multi) }})
	}
	return probe.Climb("tls functions", "httpflow-tls", rungs...)
}

func (k *kernel) loadFunctions(multi bool) error {
	if multi {
		if err := features.HaveBPFLinkUprobeMulti(); err != nil {
			return err
		}
	}
	progs, err := k.load(functionPrograms(), func(p *ebpf.ProgramSpec) {
		if multi {
			p.AttachType = ebpf.AttachTraceUprobeMulti
		}
	})
	k.functions, k.multi = progs, multi
	return err
}

// climbProcesses watches processes come and go.
func (k *kernel) climbProcesses() probe.Capability {
	d := door{
		name: "tp_btf sched_process_exec, sched_process_exit", attach: attachTracing,
		cost: "one run per program started or ended", programs: []string{"process_exec", "process_exit"},
	}
	return probe.Climb("tls processes", "httpflow-tls of new processes", probe.Rung{
		Door: d.name, Cost: d.cost, Try: func() (err error) {
			k.processes, err = k.open(d)
			return err
		},
	})
}

// attach puts probes into a file, for one process or (pid 0) for all that map
// it, all or nothing.
func (k *kernel) attach(path string, points []uprobe.Point, pid int) ([]link.Link, error) {
	return uprobe.Attacher{Programs: k.functions, Multi: k.multi}.Attach(path, points, pid)
}

// stat sums one per-CPU counter of enum tls_stat.
func (k *kernel) stat(which bpfTlsStat) int64 {
	var perCPU []uint64
	if err := k.base.Maps["tls_stats"].Lookup(which, &perCPU); err != nil {
		return 0
	}
	var sum uint64
	for _, n := range perCPU {
		sum += n
	}
	return int64(sum)
}
