package nat

import (
	"fmt"
	"time"
	"unsafe"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"github.com/cilium/ebpf/ringbuf"
	"github.com/cilium/ebpf/rlimit"

	"weft/probe"
	"weft/record"
)

// kernel is the ring into which programs write, and those of the open door.
type kernel struct {
	spec  *ebpf.CollectionSpec
	base  *ebpf.Collection // maps
	links []link.Link
	rd    *ringbuf.Reader
	host  uint32
	lost  uint64
}

// door is the programs for entries that are made and deleted. One without
// programs is ctnetlink, with a program for each namespace.
type door struct {
	name, cost string
	programs   []string
	attach     func(name string, p *ebpf.Program) (link.Link, error)
}

func doors() []door {
	const cost = "two runs per tracked connection, 0.3 µs more with NAT"
	return []door{
		{
			name: "fentry nf_ct_delete, fexit __nf_conntrack_confirm", cost: cost,
			programs: []string{"confirm_fexit", "delete_fentry"},
			attach: func(_ string, p *ebpf.Program) (link.Link, error) {
				return link.AttachTracing(link.TracingOptions{Program: p})
			},
		},
		{
			name: "kprobe nf_ct_delete, __nf_conntrack_confirm, nf_conntrack_free", cost: cost,
			programs: []string{"confirm_kprobe", "delete_kprobe", "free_kprobe"},
			attach: func(name string, p *ebpf.Program) (link.Link, error) {
				symbol := map[string]string{
					"confirm_kprobe": "__nf_conntrack_confirm", "delete_kprobe": "nf_ct_delete", "free_kprobe": "nf_conntrack_free",
				}[name]
				return link.Kprobe(symbol, p, nil)
			},
		},
		{
			name: "ctnetlink, socket filter",
			cost: "two messages per tracked connection, made by the kernel and looked at there",
		},
	}
}

// openKernel makes the ring.
func openKernel(host uint32) (*kernel, error) {
	_ = rlimit.RemoveMemlock() // before 5.11 maps count against it; creating them says so if they do not fit
	spec, err := loadBpf()
	if err != nil {
		return nil, fmt.Errorf("read the BPF object: %w", err)
	}
	maps := spec.Copy()
	maps.Programs = map[string]*ebpf.ProgramSpec{}
	base, err := ebpf.NewCollection(maps)
	if err != nil {
		return nil, fmt.Errorf("create BPF maps: %w", err)
	}
	rd, err := ringbuf.NewReader(base.Maps["nat_events"])
	if err != nil {
		base.Close()
		return nil, fmt.Errorf("read the ring: %w", err)
	}
	rd.SetDeadline(time.Unix(1, 0)) // it is only ever emptied
	return &kernel{spec: spec, base: base, rd: rd, host: host}, nil
}

// load loads programs; netns is for the one of a ctnetlink socket.
func (k *kernel) load(netns uint32, names ...string) (*ebpf.Collection, error) {
	spec := k.spec.Copy()
	keep := map[string]*ebpf.ProgramSpec{}
	for _, name := range names {
		keep[name] = spec.Programs[name]
	}
	spec.Programs = keep
	for name, v := range map[string]uint32{"host_netns": k.host, "own_netns": netns} {
		if err := spec.Variables[name].Set(v); err != nil {
			return nil, fmt.Errorf("set %s: %w", name, err)
		}
	}
	coll, err := ebpf.NewCollectionWithOptions(spec, ebpf.CollectionOptions{MapReplacements: map[string]*ebpf.Map{
		"nat_events": k.base.Maps["nat_events"], ".bss": k.base.Maps[".bss"],
	}})
	if err != nil {
		return nil, fmt.Errorf("load: %w", probe.LoadError(err))
	}
	return coll, nil
}

// open loads and attaches a door, all or nothing.
func (k *kernel) open(d door) error {
	coll, err := k.load(0, d.programs...)
	if err != nil {
		return err
	}
	defer coll.Close()
	for _, name := range d.programs {
		l, err := d.attach(name, coll.Programs[name])
		if err != nil {
			k.detach()
			return fmt.Errorf("attach %s: %w", name, err)
		}
		k.links = append(k.links, l)
	}
	return nil
}

func (k *kernel) detach() {
	for _, l := range k.links {
		l.Close()
	}
	k.links = nil
}

// drain handles what is in the ring; true when events were lost since the last
// time. One goroutine at a time.
func (k *kernel) drain(take func(*message)) (lost bool) {
	var rec ringbuf.Record
	for k.rd.ReadInto(&rec) == nil {
		if m, ok := decode(rec.RawSample); ok {
			take(&m)
		}
	}
	before := k.lost
	_ = k.base.Variables["nat_lost"].Get(&k.lost)
	return k.lost != before
}

// decode reads an event of the ring, whose buffer is aligned.
func decode(b []byte) (message, bool) {
	switch uintptr(len(b)) {
	case unsafe.Sizeof(bpfNatEvent{}):
		return fromProgram((*bpfNatEvent)(unsafe.Pointer(&b[0]))), true
	case unsafe.Sizeof(bpfNatMessage{}):
		e := (*bpfNatMessage)(unsafe.Pointer(&b[0]))
		m, ok := parseMessage(e.Data[:min(int(e.Len), len(e.Data))])
		m.key.netns, m.entry.made = e.Netns, int64(e.Time)
		return m, ok
	}
	return message{}, false
}

func fromProgram(e *bpfNatEvent) message {
	return message{
		key: key{
			tuple: tuple{src: e.Src, dst: e.Dst, sport: e.Sport, dport: e.Dport},
			netns: e.Netns, proto: record.Transport(e.Proto),
		},
		entry: entry{
			to:   tuple{src: e.ToSrc, dst: e.ToDst, sport: e.ToSport, dport: e.ToDport},
			made: int64(e.Time), zone: e.Zone,
		},
		kind: e.Kind,
	}
}

func (k *kernel) close() {
	k.detach()
	k.rd.Close()
	k.base.Close()
}
