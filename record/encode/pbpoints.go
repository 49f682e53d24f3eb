package encode

import (
	"math"
	"strings"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"

	"weft/record"
)

// Field numbers of DataKit's schema:
//
//	PBPoints{ repeated PBPoint arr=1 }
//	PBPoint{ string name=1; repeated Field fields=2; int64 time=3 }
//	Field{ string key=1; oneof{ int64 i=2; uint64 u=3; double f=4; bool b=5; bytes d=6; string s=11 }
//	       bool is_tag=8 }
const (
	pbArr = 1

	pbName   = 1
	pbFields = 2
	pbTime   = 3

	pbKey    = 1
	pbInt    = 2
	pbUint   = 3
	pbFloat  = 4
	pbBool   = 5
	pbBytes  = 6
	pbIsTag  = 8
	pbString = 11
)

// AppendPBPoints appends points as one PBPoints message, which is the body of
// a request with the content type application/protobuf; proto=com.guance.Point.
// The message may be continued: PBPoints messages joined are one PBPoints.
func AppendPBPoints(dst []byte, points []record.Point) ([]byte, Loss) {
	var l Loss
	for i := range points {
		dst = protowire.AppendTag(dst, pbArr, protowire.BytesType)
		start := len(dst)
		dst = l.appendPBPoint(dst, &points[i])
		dst = prefixLength(dst, start)
	}
	return dst, l
}

// prefixLength puts the length of dst[start:] before it. Moving a point once
// is cheaper than sizing it first, since sizing clips every value as well.
func prefixLength(dst []byte, start int) []byte {
	n := len(dst) - start
	var room [10]byte
	prefix := protowire.AppendVarint(room[:0], uint64(n))
	dst = append(dst, prefix...)
	copy(dst[start+len(prefix):], dst[start:start+n])
	copy(dst[start:], prefix)
	return dst
}

func (l *Loss) appendPBPoint(dst []byte, p *record.Point) []byte {
	dst = appendPBText(dst, pbName, l.clip(validText(p.Name), MaxName))
	for _, t := range first(l, p.Tags, MaxTags) {
		dst = appendPBTag(dst, validText(t.Key), l.clip(validText(t.Value), MaxTagValue))
	}
	for i := range first(l, p.Fields, MaxFields) {
		dst = l.appendPBField(dst, &p.Fields[i])
	}
	dst = protowire.AppendTag(dst, pbTime, protowire.VarintType)
	return protowire.AppendVarint(dst, uint64(p.Time))
}

func appendPBTag(dst []byte, key, value string) []byte {
	size := sizePBText(pbKey, key) + sizePBText(pbString, value) + protowire.SizeTag(pbIsTag) + 1
	dst = protowire.AppendTag(dst, pbFields, protowire.BytesType)
	dst = protowire.AppendVarint(dst, uint64(size))
	dst = appendPBText(dst, pbKey, key)
	dst = appendPBText(dst, pbString, value)
	dst = protowire.AppendTag(dst, pbIsTag, protowire.VarintType)
	return protowire.AppendVarint(dst, 1)
}

func (l *Loss) appendPBField(dst []byte, f *record.Field) []byte {
	undo := len(dst)
	dst = protowire.AppendTag(dst, pbFields, protowire.BytesType)
	start := len(dst)
	dst = appendPBText(dst, pbKey, validText(f.Key))
	dst, ok := appendPBValue(dst, f.Value)
	if !ok {
		l.Cut++
		return dst[:undo]
	}
	return prefixLength(dst, start)
}

// appendPBValue reports false for a type that record.Field does not document.
func appendPBValue(dst []byte, v any) ([]byte, bool) {
	switch v := v.(type) {
	case int64:
		dst = protowire.AppendTag(dst, pbInt, protowire.VarintType)
		return protowire.AppendVarint(dst, uint64(v)), true
	case uint64:
		dst = protowire.AppendTag(dst, pbUint, protowire.VarintType)
		return protowire.AppendVarint(dst, v), true
	case float64:
		dst = protowire.AppendTag(dst, pbFloat, protowire.Fixed64Type)
		return protowire.AppendFixed64(dst, math.Float64bits(v)), true
	case bool:
		dst = protowire.AppendTag(dst, pbBool, protowire.VarintType)
		return protowire.AppendVarint(dst, protowire.EncodeBool(v)), true
	case string:
		return appendPBText(dst, pbString, validText(v)), true
	default:
		return dst, false
	}
}

func appendPBText(dst []byte, num protowire.Number, s string) []byte {
	dst = protowire.AppendTag(dst, num, protowire.BytesType)
	return protowire.AppendString(dst, s)
}

func sizePBText(num protowire.Number, s string) int {
	return protowire.SizeTag(num) + protowire.SizeBytes(len(s))
}

// validText makes s UTF-8, which protobuf and line protocol demand: a process
// may give itself any bytes as its name.
func validText(s string) string {
	if utf8.ValidString(s) {
		return s
	}
	return strings.ToValidUTF8(s, "\uFFFD")
}
