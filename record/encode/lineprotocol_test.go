package encode

import (
	"errors"
	"io"
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/influxdata/line-protocol/v2/lineprotocol"

	"weft/record"
)

// decodeLines reads line protocol with the library's decoder.
func decodeLines(t *testing.T, b []byte) []record.Point {
	t.Helper()
	var out []record.Point
	for d := lineprotocol.NewDecoderWithBytes(b); d.Next(); {
		name, err := d.Measurement()
		if err != nil {
			t.Fatal(err)
		}
		p := record.Point{Name: string(name)}
		for {
			k, v, err := d.NextTag()
			if err != nil {
				t.Fatal(err)
			}
			if k == nil {
				break
			}
			p.Tags = append(p.Tags, record.Tag{Key: string(k), Value: string(v)})
		}
		for {
			k, v, err := d.NextField()
			if err != nil && !errors.Is(err, io.EOF) {
				t.Fatal(err)
			}
			if k == nil {
				break
			}
			p.Fields = append(p.Fields, record.Field{Key: string(k), Value: v.Interface()})
		}
		at, err := d.Time(lineprotocol.Nanosecond, time.Time{})
		if err != nil {
			t.Fatal(err)
		}
		p.Time = at.UnixNano()
		out = append(out, p)
	}
	return out
}

func TestLineProtocolRoundTrip(t *testing.T) {
	points := append(filled(t), odd())
	b, loss := AppendLineProtocol([]byte("before v=1i 1\n"), points)
	if loss != (Loss{}) {
		t.Errorf("lost %+v", loss)
	}
	got := decodeLines(t, b)
	if len(got) != len(points)+1 || got[0].Name != "before" {
		t.Fatalf("got %d points", len(got))
	}
	for i, want := range bare(points) {
		want.Tags = slices.DeleteFunc(slices.Clone(want.Tags), func(t record.Tag) bool { return t.Value == "" })
		slices.SortFunc(want.Tags, func(a, b record.Tag) int { return strings.Compare(a.Key, b.Key) })
		if !reflect.DeepEqual(got[i+1], want) {
			t.Errorf("got  %+v\nwant %+v", got[i+1], want)
		}
	}
}

func TestLineProtocolCleansAndCounts(t *testing.T) {
	points := []record.Point{
		{Name: "no_fields"},
		{Name: "nan", Fields: []record.Field{{Key: "x", Value: math.NaN()}}},
		{Name: "ok\n", Time: 5, Tags: []record.Tag{
			{Key: "comm", Value: "a\tb\xff\\"}, {Key: "gone", Value: `\\`},
		}, Fields: []record.Field{{Key: "inf", Value: math.Inf(1)}, {Key: "u", Value: uint64(7)}}},
		{Name: "twice", Tags: []record.Tag{{Key: "k", Value: "1"}, {Key: "k", Value: "2"}},
			Fields: []record.Field{{Key: "x", Value: int64(1)}}},
		{Name: "last", Time: 6, Fields: []record.Field{{Key: "x", Value: int64(1)}}},
	}
	b, loss := AppendLineProtocol(nil, points)
	want := "ok\\ ,comm=a\\ b\uFFFD u=7i 5\nlast x=1i 6\n"
	if string(b) != want {
		t.Errorf("got %q, want %q", b, want)
	}
	if wantLoss := (Loss{Cut: 4, Points: 3}); loss != wantLoss {
		t.Errorf("lost %+v, want %+v", loss, wantLoss)
	}
}

func TestLineProtocolLimits(t *testing.T) {
	value := strings.Repeat("v", MaxTagValue-1) + `\more`
	b, loss := AppendLineProtocol(nil, []record.Point{{
		Name: "n", Tags: []record.Tag{{Key: "k", Value: value}}, Fields: []record.Field{{Key: "x", Value: true}},
	}})
	if got := decodeLines(t, b)[0].Tags[0].Value; got != value[:MaxTagValue-1] || loss != (Loss{Cut: 2}) {
		t.Errorf("%d bytes, lost %+v", len(got), loss)
	}
}
