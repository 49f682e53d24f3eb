package aggregate

import "bytes"

// placeholder names the kind of identifier that s is, or "".
func placeholder(s []byte) string {
	switch {
	case len(s) == 0:
		return ""
	case all(s, isDigit):
		return "{id}"
	case isUUID(s):
		return "{uuid}"
	case isDate(s):
		return "{date}"
	case isHexNumber(s):
		return "{hex}"
	case isEmail(s):
		return "{email}"
	case isToken(s):
		return "{token}"
	default:
		return ""
	}
}

// isUUID knows the form of RFC 9562 section 4, of any version.
func isUUID(s []byte) bool {
	if len(s) != 36 {
		return false
	}
	for i, c := range s {
		dash := i == 8 || i == 13 || i == 18 || i == 23
		if dash != (c == '-') || !dash && !isHex(c) {
			return false
		}
	}
	return true
}

// isDate knows 2024-05-06, alone or with a time behind a T (RFC 3339).
func isDate(s []byte) bool {
	if len(s) < 10 || !all(s[:4], isDigit) || s[4] != '-' || s[7] != '-' {
		return false
	}
	time := s[10:]
	return number(s[5:7], 12) && number(s[8:10], 31) &&
		(len(time) == 0 || time[0] == 'T' && all(time[1:], isTime))
}

// number tells whether the two digits are a number from 1 to most.
func number(s []byte, most int) bool {
	n := int(s[0]-'0')*10 + int(s[1]-'0')
	return all(s, isDigit) && n >= 1 && n <= most
}

func isTime(c byte) bool { return isDigit(c) || bytes.IndexByte([]byte(":.+-Z"), c) >= 0 }

// isHexNumber wants 16 digits, or 8 with both kinds: shorter ones may be words.
func isHexNumber(s []byte) bool {
	return len(s) >= 8 && all(s, isHex) && (len(s) >= 16 || some(s, isDigit) && some(s, isLetter))
}

// isEmail wants name@host.tld; the tld is of letters, so that package@1.2.3 and
// @scope stay.
func isEmail(s []byte) bool {
	name, host, ok := bytes.Cut(s, []byte("@"))
	dot := bytes.LastIndexByte(host, '.')
	if !ok || len(name) == 0 || dot < 1 || len(host)-dot < 3 {
		return false
	}
	return all(name, isMailbox) && all(host[:dot], isHost) && all(host[dot+1:], isLetter)
}

func isMailbox(c byte) bool { return isHost(c) || c == '_' || c == '+' || c == '\'' }

func isHost(c byte) bool { return isLetter(c) || isDigit(c) || c == '-' || c == '.' }

// isToken knows long random text in base64url (RFC 4648 section 5) and in parts
// between dots when it is a JSON web token. What tells it from a slug is a
// stretch without a dash that mixes digits and letters.
func isToken(s []byte) bool {
	if len(s) <= 40 {
		return false
	}
	jwt := bytes.HasPrefix(s, []byte("eyJ")) && bytes.Count(s, []byte(".")) == 2
	mixed := false
	start := 0
	for i, c := range s {
		switch {
		case isLetter(c) || isDigit(c):
			continue
		case c != '-' && c != '_' && c != '=' && (c != '.' || !jwt):
			return false
		}
		mixed = mixed || isMixed(s[start:i])
		start = i + 1
	}
	return mixed || isMixed(s[start:])
}

// isMixed tells random letters and digits from a word with a number: by their
// length, which may be less when the case changes too.
func isMixed(s []byte) bool {
	if len(s) < 10 || !some(s, isDigit) {
		return false
	}
	upper, lower := some(s, isUpper), some(s, isLower)
	return upper && lower || len(s) >= 16 && (upper || lower)
}

func all(s []byte, is func(byte) bool) bool {
	for _, c := range s {
		if !is(c) {
			return false
		}
	}
	return true
}

func some(s []byte, is func(byte) bool) bool {
	for _, c := range s {
		if is(c) {
			return true
		}
	}
	return false
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }

func isUpper(c byte) bool { return 'A' <= c && c <= 'Z' }

func isLower(c byte) bool { return 'a' <= c && c <= 'z' }

func isLetter(c byte) bool { return isUpper(c) || isLower(c) }

func isHex(c byte) bool {
	return isDigit(c) || 'a' <= c && c <= 'f' || 'A' <= c && c <= 'F'
}

// unhex is the value of a hex digit.
func unhex(c byte) byte {
	if isDigit(c) {
		return c - '0'
	}
	return c | 0x20 - 'a' + 10
}
