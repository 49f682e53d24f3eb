package payload

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"math/bits"
	"slices"
	"unsafe"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/link"
	"github.com/cilium/ebpf/rlimit"

	"weft/config"
	"weft/probe"
)

// kernel is the loaded object and what is attached of it.
type kernel struct {
	coll  *ebpf.Collection
	links []link.Link
}

// lineMax is how many bytes of a request line the kernel keeps: the path, the
// method before it, what tells where it ends, and room for the search (line.h).
// At least a piece of the search is in it: what is shorter is not searched on.
func lineMax(maxPath int) uint32 { return max(144, uint32(maxPath+8+8+16+7)&^7) }

// loadKernel loads all programs. The newest features are tried first; with
// fetch false, those of Linux 5.10 do.
func loadKernel(cfg *config.Config, shared map[string]*ebpf.Map, fetch bool) (*kernel, error) {
	// Before 5.11 maps count against the limit; creating them says so if they do not fit.
	_ = rlimit.RemoveMemlock()
	spec, err := loadBpf()
	if err != nil {
		return nil, fmt.Errorf("read the BPF object: %w", err)
	}
	if err := prepare(spec, cfg, fetch); err != nil {
		return nil, err
	}
	for _, p := range spec.Programs {
		if !fetch {
			withoutExchange(p)
		}
	}
	replace := map[string]*ebpf.Map{}
	for _, name := range []string{bpfMapSocks, bpfMapListeners} {
		m := shared[name]
		if m == nil {
			return nil, fmt.Errorf("the table %s of TCP sockets is missing", name)
		}
		spec.Maps[name].MaxEntries = m.MaxEntries()
		replace[name] = m
	}
	coll, err := ebpf.NewCollectionWithOptions(spec, ebpf.CollectionOptions{MapReplacements: replace})
	if err != nil {
		return nil, fmt.Errorf("load: %w", err)
	}
	return &kernel{coll: coll}, nil
}

// prepare sets sizes and constants.
func prepare(spec *ebpf.CollectionSpec, cfg *config.Config, fetch bool) error {
	line := lineMax(cfg.L7.MaxPath)
	cut(spec.Maps[bpfMapStreams], uint32(unsafe.Offsetof(bpfStream{}.Line))+line)
	cut(spec.Maps[bpfMapEarlies], uint32(unsafe.Offsetof(bpfEarly{}.Line))+line)
	spec.Maps[bpfMapStreams].MaxEntries = uint32(cfg.L7.MaxConns)
	if n := uint32(cfg.Tables.ExchangeRows); n > 0 {
		for _, m := range []*ebpf.MapSpec{spec.Maps[bpfMapRowsA], spec.Maps[bpfMapRowsB], spec.Maps[bpfMapRows].InnerMap} {
			m.MaxEntries = n
		}
	}
	if n := uint32(cfg.Tables.Side); n > 0 {
		spec.Maps[bpfMapVerdicts].MaxEntries = n
	}
	ring := uint32(cfg.L7.RingSize) << 20
	spec.Maps[bpfMapEvents].MaxEntries = ring
	var seed [8]byte
	if _, err := rand.Read(seed[:]); err != nil {
		return fmt.Errorf("seed the hash: %w", err)
	}
	var ports [16]uint16
	if cfg.L7.DNS {
		for i, p := range cfg.L7.DNSPorts[:min(len(cfg.L7.DNSPorts), len(ports))] {
			ports[i] = bits.ReverseBytes16(uint16(p))
		}
	}
	for name, v := range map[string]any{
		"line_max": line, "hash_seed": binary.NativeEndian.Uint64(seed[:]), "ring_quarter": uint64(ring / 4),
		"want_http":      flag(slices.Contains(cfg.L7.Enabled, "httpflow")),
		"want_tls_hello": flag(len(cfg.L7.Enabled) > 0),
		"keep_query":     flag(cfg.L7.KeepQuery), "have_fetch": flag(fetch), "dns_ports": ports,
	} {
		if err := spec.Variables[name].Set(v); err != nil {
			return fmt.Errorf("set %s: %w", name, err)
		}
	}
	return nil
}

// withoutExchange takes atomic exchanges out, which kernels before 5.12 refuse
// even where they are never run (have_fetch is false).
func withoutExchange(p *ebpf.ProgramSpec) {
	for i, ins := range p.Instructions {
		if ins.OpCode.Class() == asm.StXClass && ins.OpCode.AtomicOp() == asm.Xchg {
			p.Instructions[i] = asm.Mov.Imm32(ins.Src, 0).WithMetadata(ins.Metadata)
		}
	}
}

// cut makes a map's values end with the part of the request line that is kept.
// The type information says otherwise then, and is left out.
func cut(m *ebpf.MapSpec, size uint32) {
	m.ValueSize = size
	m.Key, m.Value = nil, nil
}

func flag(b bool) uint32 {
	if b {
		return 1
	}
	return 0
}

// configure sets what programs read while they run.
func (k *kernel) configure(c config.Netflow, split bool) error {
	for name, v := range map[string]uint32{
		"keep_loopback": flag(c.Loopback), "keep_ipv6": flag(!c.IPv6Disabled), "ephemeral_min": uint32(c.EphemeralPort),
		"split_clients": flag(split),
	} {
		// The compiler leaves a variable out that no program reads.
		if variable := k.coll.Variables[name]; variable != nil {
			if err := variable.Set(v); err != nil {
				return fmt.Errorf("set %s: %w", name, err)
			}
		}
	}
	return nil
}

// attach fills the tables of tail calls and opens the doors.
func (k *kernel) attach() error {
	for i, name := range map[uint32][2]string{
		1: {bpfProgPayloadIn, bpfProgPayloadOut},
		2: {bpfProgClassifyIn, bpfProgClassifyOut},
		3: {bpfProgHeadIn, bpfProgHeadOut},
		4: {bpfProgStreamIn, bpfProgStreamOut},
		5: {bpfProgH2In, bpfProgH2Out},
	} {
		err := errors.Join(
			k.coll.Maps[bpfMapTailsIn].Put(i, k.coll.Programs[name[0]]),
			k.coll.Maps[bpfMapTailsOut].Put(i, k.coll.Programs[name[1]]))
		if err != nil {
			return fmt.Errorf("fill the tail calls: %w", err)
		}
	}
	end, err := link.AttachTracing(link.TracingOptions{Program: k.coll.Programs[bpfProgPayloadEnd]})
	if err != nil {
		return fmt.Errorf("attach %s: %w", bpfProgPayloadEnd, err)
	}
	k.links = append(k.links, end)
	root, err := probe.Cgroup2Root()
	if err != nil {
		return err
	}
	defer root.Close()
	for name, at := range map[string]ebpf.AttachType{
		bpfProgPayloadIn: ebpf.AttachCGroupInetIngress, bpfProgPayloadOut: ebpf.AttachCGroupInetEgress,
	} {
		l, err := link.AttachCgroup(link.CgroupOptions{Path: root.Name(), Attach: at, Program: k.coll.Programs[name]})
		if err != nil {
			return fmt.Errorf("attach %s: %w", name, err)
		}
		k.links = append(k.links, l)
	}
	return nil
}

func (k *kernel) close() {
	for _, l := range k.links {
		l.Close()
	}
	k.links = nil
	k.coll.Close()
}

// stat sums one per-CPU counter of enum payload_stat.
func (k *kernel) stat(which bpfPayloadStat) int64 {
	var perCPU []uint64
	if err := k.coll.Maps[bpfMapPayloadStats].Lookup(which, &perCPU); err != nil {
		return 0
	}
	var sum uint64
	for _, n := range perCPU {
		sum += n
	}
	return int64(sum)
}
