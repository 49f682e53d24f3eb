package record

import (
	"strconv"
	"syscall"
)

// errnoName names the errors that connect(2), a firewall or a peer can give a
// TCP connect. golang.org/x/sys knows them all, but record imports only the
// standard library; an errno outside the list keeps its number. 0 is "".
func errnoName(e uint16) string {
	switch syscall.Errno(e) {
	case 0:
		return ""
	case syscall.ECONNREFUSED:
		return "ECONNREFUSED"
	case syscall.ETIMEDOUT:
		return "ETIMEDOUT"
	case syscall.ECONNRESET:
		return "ECONNRESET"
	case syscall.EHOSTUNREACH:
		return "EHOSTUNREACH"
	case syscall.ENETUNREACH:
		return "ENETUNREACH"
	default:
		return rareErrnoName(e)
	}
}

func rareErrnoName(e uint16) string {
	switch syscall.Errno(e) {
	case syscall.EPERM:
		return "EPERM"
	case syscall.EACCES:
		return "EACCES"
	case syscall.EINTR:
		return "EINTR"
	case syscall.EAGAIN:
		return "EAGAIN"
	case syscall.ENOMEM:
		return "ENOMEM"
	case syscall.EINVAL:
		return "EINVAL"
	case syscall.EPIPE:
		return "EPIPE"
	case syscall.EPROTO:
		return "EPROTO"
	case syscall.EMSGSIZE:
		return "EMSGSIZE"
	case syscall.ENOPROTOOPT:
		return "ENOPROTOOPT"
	case syscall.EOPNOTSUPP:
		return "EOPNOTSUPP"
	case syscall.EAFNOSUPPORT:
		return "EAFNOSUPPORT"
	default:
		return localErrnoName(e)
	}
}

func localErrnoName(e uint16) string {
	switch syscall.Errno(e) {
	case syscall.EADDRINUSE:
		return "EADDRINUSE"
	case syscall.EADDRNOTAVAIL:
		return "EADDRNOTAVAIL"
	case syscall.ENETDOWN:
		return "ENETDOWN"
	case syscall.ENETRESET:
		return "ENETRESET"
	case syscall.ECONNABORTED:
		return "ECONNABORTED"
	case syscall.ENOBUFS:
		return "ENOBUFS"
	case syscall.EHOSTDOWN:
		return "EHOSTDOWN"
	case syscall.EALREADY:
		return "EALREADY"
	case syscall.EINPROGRESS:
		return "EINPROGRESS"
	case syscall.ECANCELED:
		return "ECANCELED"
	default:
		return "errno_" + strconv.Itoa(int(e))
	}
}
