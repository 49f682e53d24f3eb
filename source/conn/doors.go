package conn

import (
	"fmt"
	"strings"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"github.com/cilium/ebpf/rlimit"

	"weft/config"
	"weft/probe"
)

// door is one way to see an event: the programs that it needs together.
type door struct {
	name, cost string
	// programs must all load and attach; with is loaded and not attached.
	programs []string
	with     []string
	attach   func(name string, p *ebpf.Program) (link.Link, error)
	// optional programs may fail (no IPv6 module, say).
	optional []string
}

// opened is what a door holds while it is open. Links must stay referenced:
// the garbage collector closes those that are not (kernel-lab.md section 9).
type opened struct {
	programs map[string]*ebpf.Program
	links    map[string]link.Link
}

func (o *opened) close() {
	for _, l := range o.links {
		l.Close()
	}
	for _, p := range o.programs {
		p.Close()
	}
	o.links, o.programs = nil, nil
}

// kernel is the loaded object: its maps, and programs as doors open.
type kernel struct {
	spec *ebpf.CollectionSpec
	base *ebpf.Collection // maps and variables
	tcp  opened
	udp  opened
	walk opened
}

// loadKernel creates the maps; programs come with the doors.
func loadKernel(cfg *config.Config) (*kernel, error) {
	// Before 5.11 maps count against the limit. Without the right to raise it
	// they may still fit, and if not, creating them says so.
	_ = rlimit.RemoveMemlock()
	spec, err := loadBpf()
	if err != nil {
		return nil, fmt.Errorf("read the BPF object: %w", err)
	}
	sizes(spec, cfg)
	maps := spec.Copy()
	maps.Programs = map[string]*ebpf.ProgramSpec{}
	base, err := ebpf.NewCollection(maps)
	if err != nil {
		return nil, fmt.Errorf("create BPF maps: %w", err)
	}
	return &kernel{spec: spec, base: base}, nil
}

// sizes sets those of the tables; 0 leaves what the object says.
func sizes(spec *ebpf.CollectionSpec, cfg *config.Config) {
	for n, names := range map[*int][]string{
		&cfg.Netflow.MaxSockets: {"socks", "reported"},
		&cfg.Netflow.MaxFlows:   {"flows_a", "flows_b"},
		&cfg.Tables.Side:        {"listeners", "peers", "udp_args", "udp_roles"},
	} {
		for _, name := range names {
			size(spec.Maps[name], *n)
		}
	}
	size(spec.Maps["flows"].InnerMap, cfg.Netflow.MaxFlows)
}

func size(m *ebpf.MapSpec, n int) {
	if n > 0 {
		m.MaxEntries = uint32(n)
	}
}

func (k *kernel) close() {
	k.tcp.close()
	k.udp.close()
	k.walk.close()
	k.base.Close()
}

// open loads and attaches a door's programs, all or nothing.
func (k *kernel) open(d door) (opened, error) {
	progs, err := k.load(append(d.with, d.programs...))
	if err != nil {
		return opened{}, err
	}
	o := opened{programs: progs, links: map[string]link.Link{}}
	for _, name := range d.programs {
		l, err := d.attach(name, o.programs[name])
		if err != nil {
			o.close()
			return opened{}, fmt.Errorf("attach %s: %w", name, err)
		}
		o.links[name] = l
	}
	for _, name := range d.optional {
		k.openOptional(d, name, &o)
	}
	return o, nil
}

func (k *kernel) openOptional(d door, name string, o *opened) {
	progs, err := k.load([]string{name})
	if err != nil {
		return
	}
	l, err := d.attach(name, progs[name])
	if err != nil {
		progs[name].Close()
		return
	}
	o.programs[name] = progs[name]
	o.links[name] = l
}

// load loads the named programs against the maps that exist.
func (k *kernel) load(names []string) (map[string]*ebpf.Program, error) {
	sub := k.spec.Copy()
	keep := map[string]*ebpf.ProgramSpec{}
	for _, n := range names {
		if sub.Programs[n] == nil {
			return nil, fmt.Errorf("no program %s in the BPF object", n)
		}
		keep[n] = sub.Programs[n]
	}
	sub.Programs = keep
	coll, err := ebpf.NewCollectionWithOptions(sub, ebpf.CollectionOptions{MapReplacements: k.base.Maps})
	if err != nil {
		return nil, fmt.Errorf("load %s: %w", strings.Join(names, ", "), probe.LoadError(err))
	}
	defer coll.Close()
	out := map[string]*ebpf.Program{}
	for _, n := range names {
		out[n] = coll.DetachProgram(n)
	}
	return out, nil
}

func attachTracing(_ string, p *ebpf.Program) (link.Link, error) {
	return link.AttachTracing(link.TracingOptions{Program: p})
}

// kprobeTarget maps a program of conn.bpf.c to the function it hooks.
func kprobeTarget(program string) (symbol string, onReturn bool) {
	switch program {
	case "tcp_state_kprobe":
		return "tcp_set_state", false
	case "udp_sendmsg_kprobe", "udp_sendmsg_kretprobe":
		return "udp_sendmsg", strings.HasSuffix(program, "kretprobe")
	case "udpv6_sendmsg_kprobe", "udpv6_sendmsg_kretprobe":
		return "udpv6_sendmsg", strings.HasSuffix(program, "kretprobe")
	}
	return "skb_consume_udp", false
}

func attachKprobe(name string, p *ebpf.Program) (link.Link, error) {
	symbol, onReturn := kprobeTarget(name)
	if onReturn {
		return link.Kretprobe(symbol, p, nil)
	}
	return link.Kprobe(symbol, p, nil)
}

// attachLengths attaches the tracepoints of socket calls and, at the root
// cgroup, the hooks that name the peer of an unconnected call.
func attachLengths(name string, p *ebpf.Program) (link.Link, error) {
	attach, ok := map[string]ebpf.AttachType{
		"udp_peer_send4": ebpf.AttachCGroupUDP4Sendmsg, "udp_peer_recv4": ebpf.AttachCGroupUDP4Recvmsg,
		"udp_peer_send6": ebpf.AttachCGroupUDP6Sendmsg, "udp_peer_recv6": ebpf.AttachCGroupUDP6Recvmsg,
	}[name]
	if !ok {
		return attachTracing(name, p)
	}
	return attachCgroup(p, attach)
}

// attachCgroup attaches at the root cgroup: to every process of the machine.
func attachCgroup(p *ebpf.Program, at ebpf.AttachType) (link.Link, error) {
	root, err := probe.Cgroup2Root()
	if err != nil {
		return nil, err
	}
	defer root.Close()
	return link.AttachCgroup(link.CgroupOptions{Path: root.Name(), Attach: at, Program: p})
}

// tcpDoors are the rungs of TCP connections, best first. Each brings the
// snapshot that fits it.
func tcpDoors() []door {
	return []door{
		{
			name: "tp_btf inet_sock_set_state", attach: attachTracing,
			cost:     "12 runs per connection (both ends), none per send or receive",
			programs: []string{"tcp_state_tp", "tcp_destroy_tp"}, with: []string{"snapshot"},
		},
		{
			name: "tp_btf inet_sock_set_state, map locks", attach: attachTracing,
			cost:     "as above, and two map operations more per close (before Linux 5.12)",
			programs: []string{"tcp_state_tp_nofetch", "tcp_destroy_tp_nofetch"}, with: []string{"snapshot_nofetch"},
		},
		{
			name: "fentry tcp_set_state", attach: attachTracing,
			cost:     "as above, plus a walk of the file tables per interval to see new listeners",
			programs: []string{"tcp_state_fentry"}, with: []string{"snapshot_nofetch"},
		},
		{
			name: "kprobe tcp_set_state", attach: attachKprobe,
			cost:     "as above at the price of a kprobe, plus a walk of the file tables per interval",
			programs: []string{"tcp_state_kprobe"}, with: []string{"snapshot_nofetch"},
		},
	}
}

// udpDoors are the rungs of UDP, best first: those that only UDP runs through,
// then the one that it shares with every other socket call.
func udpDoors() []door {
	return []door{
		{
			name: "fentry udp_sendmsg, skb_consume_udp", attach: attachTracing,
			cost:     "one run per datagram, none for TCP",
			programs: []string{"udp_sendmsg_fexit", "udp_consume_fentry"},
			optional: []string{"udpv6_sendmsg_fexit"},
		},
		{
			name: "kprobe udp_sendmsg, skb_consume_udp", attach: attachKprobe,
			cost:     "two runs per datagram sent, one per datagram received, none for TCP",
			programs: []string{"udp_sendmsg_kprobe", "udp_sendmsg_kretprobe", "udp_consume_kprobe"},
			optional: []string{"udpv6_sendmsg_kprobe", "udpv6_sendmsg_kretprobe"},
		},
		{
			name: "tp_btf sock_send_length, sock_recv_length", attach: attachLengths,
			cost: "while a UDP socket exists: one run per datagram, and an empty one (about 65 ns) per TCP send " +
				"and receive, which udp = false avoids; nothing while none exists",
			programs: []string{"udp_send_length", "udp_recv_length", "udp_peer_send4", "udp_peer_recv4"},
			optional: []string{"udp_peer_send6", "udp_peer_recv6"},
		},
	}
}

// climb opens the first door that holds and keeps it in o.
func (k *kernel) climb(name, feature string, doors []door, o *opened) probe.Capability {
	rungs := make([]probe.Rung, 0, len(doors))
	for _, d := range doors {
		rungs = append(rungs, probe.Rung{Door: d.name, Cost: d.cost, Try: func() error {
			got, err := k.open(d)
			if err == nil {
				*o = got
			}
			return err
		}})
	}
	return probe.Climb(name, feature, rungs...)
}
