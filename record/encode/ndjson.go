package encode

import (
	"math"
	"strconv"
	"unicode/utf8"

	"weft/record"
)

// AppendNDJSON appends p as one JSON object and a newline:
//
//	{"name":"netflow","time":<unix ns>,"tags":{…},"fields":{…}}
//
// Keys are in the point's order and there are no limits. A float that JSON has
// no number for (NaN, ±Inf) is left out.
func AppendNDJSON(dst []byte, p *record.Point) []byte {
	dst = append(dst, `{"name":`...)
	dst = appendJSONString(dst, p.Name)
	dst = append(dst, `,"time":`...)
	dst = strconv.AppendInt(dst, p.Time, 10)
	dst = append(dst, `,"tags":{`...)
	for i := range p.Tags {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = appendJSONString(dst, p.Tags[i].Key)
		dst = append(dst, ':')
		dst = appendJSONString(dst, p.Tags[i].Value)
	}
	dst = append(dst, `},"fields":{`...)
	dst = appendJSONFields(dst, p.Fields)
	return append(dst, "}}\n"...)
}

func appendJSONFields(dst []byte, fields []record.Field) []byte {
	comma := false
	for i := range fields {
		if f, ok := fields[i].Value.(float64); ok && (math.IsNaN(f) || math.IsInf(f, 0)) {
			continue
		}
		if comma {
			dst = append(dst, ',')
		}
		comma = true
		dst = appendJSONString(dst, fields[i].Key)
		dst = append(dst, ':')
		dst = appendJSONValue(dst, fields[i].Value)
	}
	return dst
}

// appendJSONValue writes null for a type that record.Field does not document.
func appendJSONValue(dst []byte, v any) []byte {
	switch v := v.(type) {
	case int64:
		return strconv.AppendInt(dst, v, 10)
	case uint64:
		return strconv.AppendUint(dst, v, 10)
	case float64:
		return strconv.AppendFloat(dst, v, 'g', -1, 64)
	case bool:
		return strconv.AppendBool(dst, v)
	case string:
		return appendJSONString(dst, v)
	default:
		return append(dst, "null"...)
	}
}

// appendJSONString quotes s. Unlike encoding/json it leaves <, > and & as they
// are, since a line is read by people and grep; bytes that are not UTF-8
// become U+FFFD.
func appendJSONString(dst []byte, s string) []byte {
	dst = append(dst, '"')
	start := 0
	for i := 0; i < len(s); {
		if c := s[i]; c < utf8.RuneSelf {
			if c >= ' ' && c != '"' && c != '\\' {
				i++
				continue
			}
			dst = append(dst, s[start:i]...)
			dst = appendEscaped(dst, c)
			i++
			start = i
			continue
		}
		r, n := utf8.DecodeRuneInString(s[i:])
		if r == utf8.RuneError && n == 1 {
			dst = append(dst, s[start:i]...)
			dst = append(dst, "\uFFFD"...)
			start = i + n
		}
		i += n
	}
	dst = append(dst, s[start:]...)
	return append(dst, '"')
}

func appendEscaped(dst []byte, c byte) []byte {
	const hex = "0123456789abcdef"
	switch c {
	case '"', '\\':
		return append(dst, '\\', c)
	case '\n':
		return append(dst, '\\', 'n')
	case '\r':
		return append(dst, '\\', 'r')
	case '\t':
		return append(dst, '\\', 't')
	default:
		return append(dst, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
	}
}
