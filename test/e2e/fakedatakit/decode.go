package fakedatakit

import (
	"errors"
	"fmt"
	"math"

	"google.golang.org/protobuf/encoding/protowire"
)

// Point is a decoded PBPoint.
type Point struct {
	Name   string
	Time   int64
	Tags   map[string]string
	Fields map[string]any
}

// Field is a field's value as an integer, 0 when there is none.
func (p Point) Field(name string) int64 {
	n, _ := p.Fields[name].(int64)
	return n
}

// Decode reads a PBPoints message:
//
//	PBPoints{ repeated PBPoint arr=1 }
//	PBPoint{ string name=1; repeated Field fields=2; int64 time=3 }
//	Field{ string key=1; oneof{ int64 i=2, uint64 u=3, double f=4, bool b=5, bytes d=6, string s=11 };
//	       bool is_tag=8; type=9; string unit=10 }
func Decode(b []byte) ([]Point, error) {
	var points []Point
	err := walk(b, func(n protowire.Number, _ uint64, bytes []byte) error {
		if n != 1 {
			return fmt.Errorf("PBPoints has no field %d", n)
		}
		p, err := decodePoint(bytes)
		points = append(points, p)
		return err
	})
	return points, err
}

func decodePoint(b []byte) (Point, error) {
	p := Point{Tags: map[string]string{}, Fields: map[string]any{}}
	err := walk(b, func(n protowire.Number, number uint64, bytes []byte) error {
		switch n {
		case 1:
			p.Name = string(bytes)
		case 2:
			return p.decodeField(bytes)
		case 3:
			p.Time = int64(number)
		}
		return nil
	})
	if err == nil && (p.Name == "" || p.Time == 0 || len(p.Fields) == 0) {
		err = errors.New("a point lacks its name, time or fields")
	}
	return p, err
}

func (p *Point) decodeField(b []byte) error {
	var key string
	var value any
	tag := false
	err := walk(b, func(n protowire.Number, number uint64, bytes []byte) error {
		switch n {
		case 1:
			key = string(bytes)
		case 2:
			value = int64(number)
		case 3:
			value = number
		case 4:
			value = math.Float64frombits(number)
		case 5:
			value = number != 0
		case 8:
			tag = number != 0
		case 11:
			value = string(bytes)
		}
		return nil
	})
	if err != nil || !tag {
		p.Fields[key] = value
		return err
	}
	text, ok := value.(string)
	if !ok {
		return fmt.Errorf("tag %s is not a string", key)
	}
	p.Tags[key] = text
	return nil
}

// walk calls each for every field of a message, with its number or its bytes.
func walk(b []byte, each func(protowire.Number, uint64, []byte) error) error {
	for len(b) > 0 {
		num, typ, n := protowire.ConsumeTag(b)
		if n < 0 {
			return protowire.ParseError(n)
		}
		b = b[n:]
		var number uint64
		var bytes []byte
		switch typ {
		case protowire.VarintType:
			number, n = protowire.ConsumeVarint(b)
		case protowire.Fixed64Type:
			number, n = protowire.ConsumeFixed64(b)
		case protowire.BytesType:
			bytes, n = protowire.ConsumeBytes(b)
		default:
			return fmt.Errorf("field %d has wire type %d", num, typ)
		}
		if n < 0 {
			return protowire.ParseError(n)
		}
		b = b[n:]
		if err := each(num, number, bytes); err != nil {
			return err
		}
	}
	return nil
}
