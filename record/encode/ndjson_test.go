package encode

import (
	"encoding/json"
	"math"
	"reflect"
	"strings"
	"testing"

	"weft/record"
)

func TestNDJSONGolden(t *testing.T) {
	p := record.Point{
		Name: "netflow", Time: 1700000000000000001,
		Tags: []record.Tag{{Key: "src_ip", Value: "10.0.0.1"}, {Key: "dst_domain", Value: ""}},
		Fields: []record.Field{
			{Key: "bytes_read", Value: int64(-5)}, {Key: "nan", Value: math.NaN()},
			{Key: "u", Value: uint64(math.MaxUint64)}, {Key: "f", Value: 1.25}, {Key: "b", Value: true},
			{Key: "s", Value: "a\"b\\<&>\n\x01\xff\u00e9"},
		},
	}
	want := `{"name":"netflow","time":1700000000000000001,"tags":{"src_ip":"10.0.0.1","dst_domain":""},` +
		`"fields":{"bytes_read":-5,"u":18446744073709551615,"f":1.25,"b":true,` +
		`"s":"a\"b\\<&>\n\u0001` + "\uFFFD\u00e9" + `"}}` + "\n"
	if got := string(AppendNDJSON(nil, &p)); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if got := string(AppendNDJSON(nil, &record.Point{})); got != `{"name":"","time":0,"tags":{},"fields":{}}`+"\n" {
		t.Errorf("empty point: %s", got)
	}
}

func FuzzNDJSON(f *testing.F) {
	f.Add("netflow", "\u2028\xed\xa0\x80\x7f\t\r", 1e300)
	f.Fuzz(func(t *testing.T, key, value string, x float64) {
		p := record.Point{
			Name: "n", Tags: []record.Tag{{Key: key, Value: value}}, Fields: []record.Field{{Key: "x", Value: x}},
		}
		line := AppendNDJSON(nil, &p)
		var got struct {
			Tags   map[string]string
			Fields map[string]float64
		}
		if err := json.Unmarshal(line, &got); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		if strings.Count(string(line), "\n") != 1 {
			t.Errorf("not one line: %q", line)
		}
		want := map[string]string{strings.ToValidUTF8(key, "\uFFFD"): strings.ToValidUTF8(value, "\uFFFD")}
		// ToValidUTF8 folds a run of bad bytes into one mark; the encoder, like
		// encoding/json, marks each byte.
		if key == strings.ToValidUTF8(key, "") && value == strings.ToValidUTF8(value, "") &&
			!reflect.DeepEqual(got.Tags, want) {
			t.Errorf("got %q, want %q", got.Tags, want)
		}
		if v, ok := got.Fields["x"]; ok && v != x {
			t.Errorf("got %v, want %v", v, x)
		}
	})
}
