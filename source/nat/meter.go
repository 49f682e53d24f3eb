package nat

import "weft/ledger"

func (s *Source) gauges() []ledger.Gauge {
	return []ledger.Gauge{
		{
			Name: "nat_entries", Help: "Connections with NAT in the table, deleted ones that are still kept included.",
			Read: func() float64 { return float64(s.table.size()) },
		},
		{
			Name: "nat_namespaces", Help: "Network namespaces whose NAT is watched.",
			Read: func() float64 {
				s.mu.Lock()
				defer s.mu.Unlock()
				return float64(len(s.spaces))
			},
		},
		{
			Name: "nat_dumps_total", Help: "How often conntrack's table of a namespace was read as a whole.",
			Read: func() float64 { return float64(s.dumps.Load()) },
		},
	}
}

// update carries counters into the ledger: entries made, and of these deleted.
func (s *Source) update() {
	s.ringLock.Lock()
	var lost int64
	if s.kernel != nil {
		lost = int64(s.kernel.lost)
	}
	s.ringLock.Unlock()
	t := s.table
	t.mu.Lock()
	defer t.mu.Unlock()
	s.stage.SetIn(t.in)
	s.stage.SetOut(t.out)
	s.stage.SetDropped("table_full", t.full)
	s.stage.SetDropped("ambiguous", t.ambiguities)
	s.stage.SetDropped("ring_full", lost)
	s.stage.SetDropped("namespaces_full", s.unwatched.Load())
	s.stage.SetDropped("namespace_unreadable", s.unreadable.Load())
}
