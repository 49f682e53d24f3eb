package aggregate

import (
	"strings"
	"testing"
)

func TestNormalPath(t *testing.T) {
	for target, want := range map[string]string{
		"/a/b": "/a/b", "/": "/", "*": "*", "": "", "example.com:443": "example.com:443", "[::1]:443": "[::1]:443",
		"http://h/p": "/p", "https://h:8443/p/q?x=1": "/p/q?x=1", "HTTP://h": "/", "http://h/": "/",
		"http://h?x=1": "/?x=1", "http://h#f": "/", "http://u:p@[::1]:80/p": "/p", "http://h//p": "//p",
		"git+ssh://h/p": "/p", "/redirect?to=http://h/p": "/redirect?to=http://h/p",
		"://h/p": "://h/p", "1http://h/p": "1http://h/p", "ht tp://h/p": "ht tp://h/p", "unknown": "unknown",
	} {
		if got := NormalPath(target); got != want {
			t.Errorf("%q: got %q, want %q", target, got, want)
		}
	}
}

const (
	jwt = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U"
	b64 = "Xk9_f2JvQ1-7sT0pLmZrQwErTyUiOpAsDfGhJkLzXcVbNm12345="
)

func TestTemplate(t *testing.T) {
	for path, want := range map[string]string{
		"/users/123":   "/users/{id}",
		"/users/123/":  "/users/{id}/",
		"/7":           "/{id}",
		"//1//2":       "//{id}//{id}",
		"/a/0000000/b": "/a/{id}/b",
		"/users/123/orders/8f14e45f-ceea-467f-a0e6-000000000000": "/users/{id}/orders/{uuid}",
		"/o/8F14E45F-CEEA-467F-A0E6-000000000000":                "/o/{uuid}",
		"/o/8f14e45fceea467fa0e6000000000000":                    "/o/{hex}",
		"/commit/da39a3ee5e6b4b0d3255bfef95601890afd80709/x":     "/commit/{hex}/x",
		"/short/8f14e45f":                                "/short/{hex}",
		"/c/deadbeefdeadbeef":                            "/c/{hex}",
		"/log/2024-05-06":                                "/log/{date}",
		"/log/2024-05-06T10:11:12Z":                      "/log/{date}",
		"/log/2024-05-06T10:11:12.5+02:00/x":             "/log/{date}/x",
		"/by/john.doe+x@example.co.uk":                   "/by/{email}",
		"/by/john%40example.com":                         "/by/{email}",
		"/by/user@163.com":                               "/by/{email}",
		"/t/" + jwt:                                      "/t/{token}",
		"/t/" + b64:                                      "/t/{token}",
		"/t/" + strings.TrimSuffix(b64, "=") + "%3D":     "/t/{token}",
		"/t/" + strings.Repeat("a1", 21):                 "/t/{hex}",
		"/t/" + strings.Repeat("z1", 21):                 "/t/{token}",
		"/img/42.png":                                    "/img/{id}.png",
		"/img/8f14e45fceea467f.min.js":                   "/img/8f14e45fceea467f.min.js",
		"/img/8f14e45f-ceea-467f-a0e6-000000000000.jpeg": "/img/{uuid}.jpeg",
		"/log/2024-05-06.gz":                             "/log/{date}.gz",
		"/%31%32%33/x":                                   "/{id}/x",
		"/%31%32.js":                                     "/{id}.js",
		"/u/123?id=456/789":                              "/u/{id}?id=456/789",
		"/u/123?":                                        "/u/{id}?",
		"/1?a?2":                                         "/{id}?a?2",
	} {
		if got := Template(path); got != want {
			t.Errorf("%s: got %s, want %s", path, got, want)
		}
	}
}

func TestTemplateStays(t *testing.T) {
	for _, path := range []string{
		"", "/", "//", "*", "123", "example.com:443", "unknown", "{overflow}",
		"/api/v1/users", "/v2", "/1.0/x", "/1.2.3", "/10.0.0.1", "/users/me", "/a1b2", "/decade", "/facade", "/deadbeef",
		"/cafe1234567g", "/123abc", "/-5", "/+7", "/0x1f", "/12,13", "/1e6", "/a.123",
		"/2024-13-01", "/2024-00-10", "/2024-05-32", "/2024-05", "/2024-05-06-my-post", "/2024-5-6", "/2024-05-06Tea",
		"/8f14e45f-ceea-467f-a0e6", "/8f14e45f-ceea-467f-a0e6-00000000000g", "/8f14e45f_ceea_467f_a0e6_000000000000",
		"/@babel/core", "/react@18.2.0/umd/react.js", "/user@host", "/a@b@c.de", "/user@.com", "/user@x.c",
		"/how-to-configure-nginx-for-10-million-connections-in-production",
		"/introducing-the-new-iphone15promax-2024-edition-with-usb-c",
		"/internationalization-documentation-of-everything",
		"/google.cloud.bigquery.storage.v1.BigQueryRead/CreateReadSession",
		"/frontend-deployment-with-a-long-name-66b6c48dd5-7ks9x",
		"/jquery-ui-1.12.1.custom.min.bootstrap4theme.css",
		"/a%20b", "/100%25", "/%zz1", "/1%", "/1%2", "/123%2F456", "/a%2Fb", "/123%2Ejs", "/123.j%73",
		"/.123", "/.json", "/123.", "/123.toolong", "/123.4", "/x?id=123", "/?1/2", "/{id}.json",
		"/" + strings.Repeat("1", longest+1),
	} {
		if got := Template(path); got != path {
			t.Errorf("%s became %s", path, got)
		}
		if n := testing.AllocsPerRun(10, func() { Template(path) }); n > 0 {
			t.Errorf("%s: %v allocations", path, n)
		}
	}
}

func FuzzTemplate(f *testing.F) {
	for _, s := range []string{
		"/users/123", "http://h/p", "/%31%2e", "/a?b/1", "/8f14e45f-ceea-467f-a0e6-000000000000.x", "/2024-05-06T", "/" + jwt,
		"/" + b64, "/a@b.cd.ef",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, target string) {
		path := NormalPath(target)
		if again := NormalPath(path); strings.HasPrefix(path, "/") && again != path {
			t.Fatalf("%q is normal, but becomes %q", path, again)
		}
		got := Template(path)
		if again := Template(got); again != got {
			t.Fatalf("%q became %q and then %q", path, got, again)
		}
		before, queryBefore, _ := strings.Cut(path, "?")
		after, queryAfter, _ := strings.Cut(got, "?")
		if strings.Count(before, "/") != strings.Count(after, "/") || queryBefore != queryAfter {
			t.Fatalf("%q became %q: segments or query changed", path, got)
		}
	})
}

func BenchmarkTemplateUnchanged(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		Template("/api/v1/users/me/settings/notifications.json")
	}
}

func BenchmarkTemplateChanged(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		Template("/users/123/orders/8f14e45f-ceea-467f-a0e6-000000000000")
	}
}
