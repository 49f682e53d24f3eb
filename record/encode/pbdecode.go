package encode

import (
	"errors"
	"fmt"
	"math"

	"google.golang.org/protobuf/encoding/protowire"

	"weft/record"
)

// DecodePBPoints reads what AppendPBPoints wrote, from any sender: fields of
// the schema that a Point has no place for are skipped, and a value that is
// not set becomes int64 zero. Any other bytes are an error, never a panic.
func DecodePBPoints(b []byte) ([]record.Point, error) {
	var points []record.Point
	err := eachPB(b, func(num protowire.Number, v pbValue) error {
		if num != pbArr || v.kind != protowire.BytesType {
			return nil
		}
		p, err := decodePBPoint(v.bytes)
		points = append(points, p)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("decode PBPoints: %w", err)
	}
	return points, nil
}

// pbValue is one value on the wire; bytes for a BytesType, else num.
type pbValue struct {
	kind  protowire.Type
	num   uint64
	bytes []byte
}

// eachPB calls visit for every field of the message b.
func eachPB(b []byte, visit func(protowire.Number, pbValue) error) error {
	for len(b) > 0 {
		num, kind, n := protowire.ConsumeTag(b)
		if n < 0 {
			return protowire.ParseError(n)
		}
		b = b[n:]
		v := pbValue{kind: kind}
		switch kind {
		case protowire.VarintType:
			v.num, n = protowire.ConsumeVarint(b)
		case protowire.Fixed64Type:
			v.num, n = protowire.ConsumeFixed64(b)
		case protowire.BytesType:
			v.bytes, n = protowire.ConsumeBytes(b)
		default:
			n = protowire.ConsumeFieldValue(num, kind, b)
		}
		if n < 0 {
			return protowire.ParseError(n)
		}
		b = b[n:]
		if err := visit(num, v); err != nil {
			return err
		}
	}
	return nil
}

func decodePBPoint(b []byte) (record.Point, error) {
	var p record.Point
	err := eachPB(b, func(num protowire.Number, v pbValue) error {
		switch {
		case num == pbName && v.kind == protowire.BytesType:
			p.Name = string(v.bytes)
		case num == pbTime && v.kind == protowire.VarintType:
			p.Time = int64(v.num)
		case num == pbFields && v.kind == protowire.BytesType:
			return decodePBField(v.bytes, &p)
		}
		return nil
	})
	return p, err
}

func decodePBField(b []byte, p *record.Point) error {
	f := record.Field{Value: int64(0)}
	tag := false
	err := eachPB(b, func(num protowire.Number, v pbValue) error {
		switch {
		case num == pbKey && v.kind == protowire.BytesType:
			f.Key = string(v.bytes)
		case num == pbIsTag && v.kind == protowire.VarintType:
			tag = v.num != 0
		default:
			if x, ok := decodePBValue(num, v); ok {
				f.Value = x
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	if !tag {
		p.Fields = append(p.Fields, f)
		return nil
	}
	s, ok := f.Value.(string)
	if !ok {
		return errors.New("a tag is not a string")
	}
	p.Tags = append(p.Tags, record.Tag{Key: f.Key, Value: s})
	return nil
}

func decodePBValue(num protowire.Number, v pbValue) (any, bool) {
	varint := v.kind == protowire.VarintType
	switch {
	case num == pbInt && varint:
		return int64(v.num), true
	case num == pbUint && varint:
		return v.num, true
	case num == pbFloat && v.kind == protowire.Fixed64Type:
		return math.Float64frombits(v.num), true
	case num == pbBool && varint:
		return v.num != 0, true
	case (num == pbString || num == pbBytes) && v.kind == protowire.BytesType:
		return string(v.bytes), true
	default:
		return nil, false
	}
}
