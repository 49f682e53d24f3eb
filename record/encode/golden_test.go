package encode

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"reflect"
	"strconv"
	"testing"

	"weft/record"
)

// update rewrites testdata after a wanted change of a measurement.
var update = flag.Bool("update", false, "rewrite the golden files")

// filled returns one point of every measurement with every column set.
func filled(t testing.TB) []record.Point {
	t.Helper()
	f, err := record.NewFlattener()
	if err != nil {
		t.Fatal(err)
	}
	var out []record.Point
	for _, r := range record.Prototypes() {
		n := 0
		fill(reflect.ValueOf(r).Elem(), &n)
		var p record.Point
		if !f.Flatten(r, &p) {
			t.Fatalf("%T is not known", r)
		}
		p.AddTags([]record.Tag{{Key: "host", Value: "h\u00f6st a"}, {Key: "service", Value: "ebpf"}})
		p.Time = 1700000000123456789
		out = append(out, p)
	}
	return out
}

// fill sets every field of the struct v to a value of its own.
func fill(v reflect.Value, n *int) {
	for i := range v.NumField() {
		f := v.Field(i)
		if f.Kind() == reflect.Pointer && f.Type().Elem().Kind() == reflect.Struct {
			f.Set(reflect.New(f.Type().Elem()))
			f = f.Elem()
		}
		*n++
		switch {
		case v.Type().Field(i).Anonymous:
			fill(f, n)
		case f.Kind() == reflect.String:
			f.SetString("value-" + strconv.Itoa(*n))
		case f.CanInt():
			f.SetInt(int64(*n) << 20)
		case f.CanUint():
			f.SetUint(uint64(*n))
		case f.CanFloat():
			f.SetFloat(float64(*n) + 0.5)
		case f.Kind() == reflect.Bool:
			f.SetBool(true)
		}
	}
}

func TestGolden(t *testing.T) {
	for _, p := range filled(t) {
		pb, pbLoss := AppendPBPoints(nil, []record.Point{p})
		lp, lpLoss := AppendLineProtocol(nil, []record.Point{p})
		if pbLoss != (Loss{}) || lpLoss != (Loss{}) {
			t.Errorf("%s: lost %+v %+v", p.Name, pbLoss, lpLoss)
		}
		golden(t, p.Name+".ndjson", AppendNDJSON(nil, &p))
		golden(t, p.Name+".pb", pb)
		golden(t, p.Name+".lp", lp)
	}
}

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	name = filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(name, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s differs (run go test ./record/encode -update if that is wanted):\n%s", name, got)
	}
}

func benchPoints(b *testing.B) []record.Point {
	points := make([]record.Point, 256)
	for i := range points {
		points[i] = filled(b)[0]
	}
	return points
}

func BenchmarkNDJSON(b *testing.B) {
	p := filled(b)[0]
	var buf []byte
	b.ReportAllocs()
	for b.Loop() {
		buf = AppendNDJSON(buf[:0], &p)
	}
}

func BenchmarkPBPoints256(b *testing.B) {
	points := benchPoints(b)
	var buf []byte
	b.ReportAllocs()
	for b.Loop() {
		buf, _ = AppendPBPoints(buf[:0], points)
	}
	b.SetBytes(int64(len(buf)))
}

func BenchmarkLineProtocol256(b *testing.B) {
	points := benchPoints(b)
	var buf []byte
	b.ReportAllocs()
	for b.Loop() {
		buf, _ = AppendLineProtocol(buf[:0], points)
	}
	b.SetBytes(int64(len(buf)))
}
