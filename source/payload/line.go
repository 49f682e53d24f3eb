package payload

import "bytes"

// methodName is the method as HTTP spells it; enum method in rows.h.
func methodName(m bpfMethod) string {
	switch m {
	case bpfMethodM_GET:
		return "GET"
	case bpfMethodM_HEAD:
		return "HEAD"
	case bpfMethodM_POST:
		return "POST"
	case bpfMethodM_PUT:
		return "PUT"
	case bpfMethodM_DELETE:
		return "DELETE"
	case bpfMethodM_OPTIONS:
		return "OPTIONS"
	case bpfMethodM_PATCH:
		return "PATCH"
	case bpfMethodM_TRACE:
		return "TRACE"
	default:
		return "CONNECT"
	}
}

// splitLine takes method and target out of a request line that the kernel
// kept. The target ends where it does in the kernel's hash (path_ends in
// line.h); cut tells that its end was not in the line or beyond maxPath.
func splitLine(m bpfMethod, line []byte, o lineOptions) (method, path string, cut bool) {
	method = methodName(m)
	target := line[min(len(line), len(method)+1):]
	ends := " \r\x00?"
	if o.keepQuery {
		ends = ends[:3]
	}
	end := bytes.IndexAny(target, ends)
	if end < 0 {
		end, cut = len(target), true
	}
	if end > o.maxPath {
		end, cut = o.maxPath, true
	}
	return method, string(target[:end]), cut
}

type lineOptions struct {
	maxPath   int
	keepQuery bool
}
