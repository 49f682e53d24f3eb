package domain

// ring holds entries in the order of their last use. The links are in the
// entries, which spares container/list's element beside each.
type ring struct{ head *entry }

func newRing() ring {
	head := &entry{}
	head.prev, head.next = head, head
	return ring{head}
}

// oldest is the longest unused entry of a ring that has one.
func (r ring) oldest() *entry { return r.head.prev }

// touch moves the entry to the front or puts it there.
func (r ring) touch(e *entry) {
	if r.head.next == e {
		return
	}
	if e.next != nil {
		r.remove(e)
	}
	e.prev, e.next = r.head, r.head.next
	e.prev.next, e.next.prev = e, e
}

func (r ring) remove(e *entry) { e.prev.next, e.next.prev = e.next, e.prev }
