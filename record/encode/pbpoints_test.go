package encode

import (
	"fmt"
	"math"
	"os"
	"os/exec"
	"reflect"
	"strings"
	"testing"
	"unicode/utf8"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/dynamicpb"

	"weft/record"
)

// odd is a point with everything that is hard to encode.
func odd() record.Point {
	return record.Point{
		Name: "odd name,=", Time: -1,
		Tags: []record.Tag{{Key: "a", Value: ""}, {Key: "b", Value: "x=,\\ \"y\""}, {Key: "c", Value: "\u4e16"}},
		Fields: []record.Field{
			{Key: "min", Value: int64(math.MinInt64)}, {Key: "max", Value: uint64(math.MaxUint64)},
			{Key: "zero", Value: int64(0)}, {Key: "f", Value: -0.125}, {Key: "no", Value: false},
			{Key: "yes", Value: true}, {Key: "s", Value: "line\nbreak \"q\" \\"}, {Key: "empty", Value: ""},
		},
	}
}

// bare drops what the wire forms do not carry.
func bare(points []record.Point) []record.Point {
	var out []record.Point
	for _, p := range points {
		p.Category = record.Category{}
		fields := make([]record.Field, len(p.Fields))
		for i, f := range p.Fields {
			fields[i] = record.Field{Key: f.Key, Value: f.Value}
		}
		p.Fields = fields
		out = append(out, p)
	}
	return out
}

func TestPBPointsRoundTrip(t *testing.T) {
	points := append(filled(t), odd(), record.Point{})
	b, loss := AppendPBPoints(nil, points)
	if loss != (Loss{}) {
		t.Errorf("lost %+v", loss)
	}
	got, err := DecodePBPoints(b)
	if err != nil {
		t.Fatal(err)
	}
	if want := bare(points); !reflect.DeepEqual(bare(got), want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

// schema builds DataKit's schema for protobuf's own decoder, which shares no
// code with the encoder under test.
func schema(t *testing.T) protoreflect.MessageDescriptor {
	t.Helper()
	kind := func(k descriptorpb.FieldDescriptorProto_Type) *descriptorpb.FieldDescriptorProto_Type { return &k }
	field := func(name string, num int32, k descriptorpb.FieldDescriptorProto_Type) *descriptorpb.FieldDescriptorProto {
		return &descriptorpb.FieldDescriptorProto{Name: proto.String(name), Number: proto.Int32(num), Type: kind(k),
			Label: descriptorpb.FieldDescriptorProto_LABEL_OPTIONAL.Enum()}
	}
	many := func(name string, num int32, of string) *descriptorpb.FieldDescriptorProto {
		f := field(name, num, descriptorpb.FieldDescriptorProto_TYPE_MESSAGE)
		f.TypeName, f.Label = proto.String(of), descriptorpb.FieldDescriptorProto_LABEL_REPEATED.Enum()
		return f
	}
	oneof := []*descriptorpb.FieldDescriptorProto{
		field("i", 2, descriptorpb.FieldDescriptorProto_TYPE_INT64),
		field("u", 3, descriptorpb.FieldDescriptorProto_TYPE_UINT64),
		field("f", 4, descriptorpb.FieldDescriptorProto_TYPE_DOUBLE),
		field("b", 5, descriptorpb.FieldDescriptorProto_TYPE_BOOL),
		field("d", 6, descriptorpb.FieldDescriptorProto_TYPE_BYTES),
		field("s", 11, descriptorpb.FieldDescriptorProto_TYPE_STRING),
	}
	for _, f := range oneof {
		f.OneofIndex = proto.Int32(0)
	}
	fd, err := protodesc.NewFile(&descriptorpb.FileDescriptorProto{
		Name: proto.String("point.proto"), Syntax: proto.String("proto3"),
		MessageType: []*descriptorpb.DescriptorProto{
			{Name: proto.String("Field"),
				OneofDecl: []*descriptorpb.OneofDescriptorProto{{Name: proto.String("val")}},
				Field: append(oneof, field("key", 1, descriptorpb.FieldDescriptorProto_TYPE_STRING),
					field("is_tag", 8, descriptorpb.FieldDescriptorProto_TYPE_BOOL),
					field("unit", 10, descriptorpb.FieldDescriptorProto_TYPE_STRING))},
			{Name: proto.String("PBPoint"), Field: []*descriptorpb.FieldDescriptorProto{
				field("name", 1, descriptorpb.FieldDescriptorProto_TYPE_STRING), many("fields", 2, ".Field"),
				field("time", 3, descriptorpb.FieldDescriptorProto_TYPE_INT64)}},
			{Name: proto.String("PBPoints"), Field: []*descriptorpb.FieldDescriptorProto{many("arr", 1, ".PBPoint")}},
		},
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	return fd.Messages().ByName("PBPoints")
}

// viaProtobuf decodes with google.golang.org/protobuf.
func viaProtobuf(t *testing.T, b []byte) []record.Point {
	t.Helper()
	m := dynamicpb.NewMessage(schema(t))
	if err := proto.Unmarshal(b, m); err != nil {
		t.Fatal(err)
	}
	get := func(m protoreflect.Message, name protoreflect.Name) protoreflect.Value {
		return m.Get(m.Descriptor().Fields().ByName(name))
	}
	var out []record.Point
	arr := get(m, "arr").List()
	for i := range arr.Len() {
		pm := arr.Get(i).Message()
		p := record.Point{Name: get(pm, "name").String(), Time: get(pm, "time").Int()}
		if len(pm.GetUnknown()) > 0 {
			t.Errorf("unknown bytes in a point: %x", pm.GetUnknown())
		}
		fields := get(pm, "fields").List()
		for j := range fields.Len() {
			fm := fields.Get(j).Message()
			key, set := get(fm, "key").String(), fm.WhichOneof(fm.Descriptor().Oneofs().ByName("val"))
			if set == nil || len(fm.GetUnknown()) > 0 {
				t.Fatalf("field %q: no value, or unknown bytes %x", key, fm.GetUnknown())
			}
			v := fm.Get(set).Interface()
			if get(fm, "is_tag").Bool() {
				p.Tags = append(p.Tags, record.Tag{Key: key, Value: v.(string)})
			} else {
				p.Fields = append(p.Fields, record.Field{Key: key, Value: v})
			}
		}
		out = append(out, p)
	}
	return out
}

func TestPBPointsAgreesWithProtobuf(t *testing.T) {
	points := append(filled(t), odd())
	b, _ := AppendPBPoints(nil, points)
	if got, want := viaProtobuf(t, b), bare(points); !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

func TestPBPointsLimits(t *testing.T) {
	p := record.Point{Name: strings.Repeat("n", MaxName+1)}
	p.Tags = append(p.Tags, record.Tag{Key: "cut", Value: strings.Repeat("\u4e16", 400)})
	for i := range MaxTags + 4 {
		p.Tags = append(p.Tags, record.Tag{Key: fmt.Sprint("t", i), Value: "bad \xff\xfe"})
	}
	for i := range MaxFields + 3 {
		p.Fields = append(p.Fields, record.Field{Key: fmt.Sprint("f", i), Value: int64(i)})
	}
	p.Fields[0].Value = []byte("not a documented type")
	b, loss := AppendPBPoints(nil, []record.Point{p})
	if want := (Loss{Cut: 1 + 1 + 5 + 3 + 1}); loss != want {
		t.Errorf("lost %+v, want %+v", loss, want)
	}
	got := viaProtobuf(t, b)[0]
	if len(got.Name) != MaxName || len(got.Tags) != MaxTags || len(got.Fields) != MaxFields-1 {
		t.Errorf("name %d, tags %d, fields %d", len(got.Name), len(got.Tags), len(got.Fields))
	}
	if v := got.Tags[0].Value; len(v) != 1023 || !utf8.ValidString(v) {
		t.Errorf("cut to %d bytes, valid %v", len(v), utf8.ValidString(v))
	}
	if got.Tags[1].Value != "bad \uFFFD" {
		t.Errorf("got %q", got.Tags[1].Value)
	}
}

// TestPBPointsPython reads the golden file with the script that keeps the
// bodies of the reference readable, where it and Python are at hand.
func TestPBPointsPython(t *testing.T) {
	script := os.Getenv("WEFT_PBPOINT")
	if script == "" {
		t.Skip("WEFT_PBPOINT does not name pbpoint.py")
	}
	out, err := exec.Command("python3", script, "testdata/netflow.pb").Output()
	if err != nil || !strings.Contains(string(out), `"name": "netflow"`) {
		t.Errorf("%s: %v", out, err)
	}
}

func FuzzDecodePBPoints(f *testing.F) {
	b, _ := AppendPBPoints(nil, append(filled(f), odd()))
	f.Add(b)
	f.Add([]byte{0x0a, 0x02, 0x12, 0x00})
	f.Add([]byte{0x0a, 0xff, 0xff, 0xff, 0xff, 0x0f})
	f.Fuzz(func(t *testing.T, b []byte) {
		points, err := DecodePBPoints(b)
		if err != nil {
			return
		}
		again, loss := AppendPBPoints(nil, points)
		back, err := DecodePBPoints(again)
		if err != nil {
			t.Fatalf("own bytes: %v", err)
		}
		if len(back) != len(points) {
			t.Errorf("%d points became %d (%+v)", len(points), len(back), loss)
		}
	})
}
