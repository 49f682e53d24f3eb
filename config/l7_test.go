package config

import (
	"reflect"
	"testing"
	"time"
)

func TestL7Defaults(t *testing.T) {
	want := L7{
		Enabled: []string{"httpflow"}, MaxPath: 160, MaxRows: 10_000, MaxConns: 65_536, RingSize: 8, DNS: true,
		DNSTimeout: 6 * time.Second, DNSPorts: []int{53, 5353, 5355}, QueryNames: true, DomainTTLFloor: time.Minute,
	}
	if got := mustLoad(t, "", nil).L7; !reflect.DeepEqual(got, want) {
		t.Errorf("got\n%+v\nwant\n%+v", got, want)
	}
}

func TestL7File(t *testing.T) {
	c, err := LoadFile("testdata/l7.good.conf")
	if err != nil {
		t.Fatal(err)
	}
	want := L7{
		Enabled: []string{"httpflow"}, MaxPath: 1024, KeepQuery: true, PathTemplate: true, MaxRows: 100, MaxConns: 4096,
		RingSize: 64, DNS: true, DNSTimeout: 250 * time.Millisecond, DNSPorts: []int{53, 5300},
		ProcessAllow: []string{"name:nginx*", "env:DD_SERVICE", "env:A=b=c", "path:*/bin/?sh", "container:4f2a"},
		ProcessDeny:  []string{"uid:0", "uid:4294967294", "cgroup:/system.slice/*"},
	}
	if !reflect.DeepEqual(c.L7, want) {
		t.Errorf("got\n%+v\nwant\n%+v", c.L7, want)
	}
}

// A key of a higher source replaces a list as a whole; an empty variable is
// no value, and so no empty list of ports.
func TestL7Sources(t *testing.T) {
	file := "[[inputs.ebpf]]\nprocess_deny = [\"uid:1\"]\ndns_ports = [53]\n"
	c := mustLoad(t, file, []string{"ENV_INPUT_EBPF_PROCESS_DENY=name:a , NAME:b,", "ENV_INPUT_EBPF_DNS_PORTS="},
		[2]string{"l7-max-rows", "500"}, [2]string{"process-allow", "uid:1"}, [2]string{"process-allow", "uid:2,uid:3"})
	if !reflect.DeepEqual(c.L7.ProcessDeny, []string{"name:a", "name:b"}) ||
		!reflect.DeepEqual(c.L7.ProcessAllow, []string{"uid:1", "uid:2", "uid:3"}) ||
		!reflect.DeepEqual(c.L7.DNSPorts, []int{53}) || c.L7.MaxRows != 500 {
		t.Errorf("%+v", c.L7)
	}
}
