package selection

import (
	"slices"
	"strings"
	"testing"
)

const (
	id  = "4f66ad9ab7a3b5f1b3a2a6d3a2f4c7d0e9b8a7c6d5e4f3a2b1c0d9e8f7a6b5c4"
	id2 = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
	pod = "pod8d8a5b6e_5d7f_4d0c_9a44_1f2a3b4c5d6e"
)

// TestContainerOf has the forms that the engines write.
func TestContainerOf(t *testing.T) {
	of := func(id string) container { return container{id: id} }
	for path, want := range map[string]container{
		// Docker: cgroupfs and systemd drivers, rootless, in Docker, on GitHub and ECS, deleted.
		"/docker/" + id:                           of(id),
		"/system.slice/docker-" + id + ".scope":   of(id),
		"/docker/" + id + "/docker/" + id2:        of(id2),
		"/docker/" + id + "/system.slice/x.slice": of(id),
		"/user.slice/user-1000.slice/user@1000.service/user.slice/docker-" + id + ".scope": of(id),
		"/actions_job/" + id:                                                     of(id),
		"/ecs/01234567-89ab-cdef-0123-456789abcdef/" + id:                        of(id),
		"/ecs/0123456789abcdef0123456789abcdef/" + id[:32] + "-1234567890":       of(id[:32] + "-1234567890"),
		"/../../docker/" + id:                                                    of(id),
		"/system.slice/nerdctl-" + id + ".scope":                                 of(id),
		"/default/" + id:                                                         of(id),
		"/kubepods/burstable/" + pod + "/" + id:                                  of(id),
		"/kubepods/" + pod + "/" + id + "/init.scope":                            of(id),
		"/kubepods.slice/kubepods-" + pod + ".slice/docker-" + id + ".scope":     of(id),
		"/kubepods.slice/kubepods-" + pod + ".slice/cri-containerd-" + id:        of(id),
		"/kubelet.slice/kubelet-kubepods.slice/cri-containerd-" + id + ".scope":  of(id),
		"/system.slice/containerd.service/kubepods-x.slice:cri-containerd:" + id: of(id),
		"/kubepods.slice/kubepods-" + pod + ".slice/crio-" + id + ".scope":       of(id),
		"/kubepods.slice/" + pod + ".slice/crio-" + id + ".scope/container":      of(id),
		"/kubepods.slice/" + pod + ".slice/crio-conmon-" + id + ".scope":         {},
		"/machine.slice/libpod-" + id + ".scope":                                 of(id),
		"/machine.slice/libpod-" + id + ".scope/container":                       of(id),
		"/machine.slice/libpod-conmon-" + id + ".scope":                          {},
		"/machine.slice/machine-libpod_pod_" + id + ".slice/libpod-" + id2:       of(id2),
		"/libpod_parent/libpod-" + id:                                            of(id),
		"/user.slice/user@1000.service/x.service/libpod-payload-" + id:           of(id),
		"/machine.slice/machine-web.scope":                                       {name: "web"},
		"/machine.slice/machine-my\\x2dweb.scope/payload/system.slice/x.service": {name: "my-web"},
		"/machine.slice/systemd-nspawn@web.service/payload/init.scope":           {name: "web"},
		"/machine.slice/systemd-nspawn@web.service/supervisor":                   {},
		"/machine.slice/machine-qemu\\x2d1\\x2dvm.scope/libvirt/emulator":        {},
		"/lxc/web":                                 {name: "web"},
		"/lxc/101/ns/system.slice/nginx.service":   {name: "101"},
		"/lxc/101/ns/docker/" + id:                 of(id),
		"/lxc.payload/web/init.scope":              {name: "web"},
		"/lxc.payload.web-1/system.slice":          {name: "web-1"},
		"/lxc.monitor.web-1":                       {},
		"/lxc.monitor/web":                         {},
		"/":                                        {},
		"":                                         {},
		"/docker":                                  {},
		"/docker/" + id[:63]:                       {},
		"/docker/" + id + "0":                      {},
		"/docker/" + strings.ToUpper(id):           {},
		"/system.slice/docker.service":             {},
		"/system.slice/containerd.service":         {},
		"/kubepods.slice/kubepods-" + pod:          {},
		"/user.slice/user-0.slice/session-1.scope": {},
		"/init.scope":                              {},
		"/process_api/38faeedb85bdd6811bebf4b194a2cefe": {},
	} {
		if got := containerOf(path); got != want {
			t.Errorf("%s: got %+v, want %+v", path, got, want)
		}
	}
}

func TestCgroupPaths(t *testing.T) {
	for text, want := range map[string][]string{
		"0::/system.slice/docker-" + id + ".scope\n": {"/system.slice/docker-" + id + ".scope"},
		"12:cpu,cpuacct:/docker/" + id + "\n1:name=systemd:/docker/" + id + "\n0::/system.slice/containerd.service\n": {
			"/docker/" + id, "/docker/" + id, "/system.slice/containerd.service"},
		"0::/x.slice:cri-containerd:" + id + "\n": {"/x.slice:cri-containerd:" + id},
		"0::/docker/" + id + " (deleted)\n":       {"/docker/" + id},
		"0::/\n":                                  {"/"},
		"":                                        nil,
		"nonsense\n":                              nil,
	} {
		if got := cgroupPaths(text); !slices.Equal(got, want) {
			t.Errorf("%q: got %q, want %q", text, got, want)
		}
	}
}

// FuzzProc: what is found in the kernel's files stands there, since processes
// choose their names and, in containers, those of their cgroups.
func FuzzProc(f *testing.F) {
	f.Add("0::/docker/" + id + "\n")
	f.Add("1:name=systemd:/machine.slice/machine-my\\x2dweb.scope/payload\n0::/lxc.payload.x/y\n")
	f.Add("7 (a) b) S" + strings.Repeat(" 1", 50))
	f.Fuzz(func(t *testing.T, text string) {
		for _, path := range cgroupPaths(text) {
			c := containerOf(path)
			name := strings.ReplaceAll(path, `\x2d`, "-")
			if !strings.Contains(path, c.id) || !strings.Contains(name, c.name) || strings.Contains(c.name, "/") {
				t.Errorf("%q: %+v", path, c)
			}
		}
		if st, err := parseStat([]byte(text)); err == nil && !strings.Contains(text, "("+st.name+")") {
			t.Errorf("%q: %+v", text, st)
		}
	})
}
