package exec

import (
	"slices"
	"strings"
	"testing"
)

func TestRedact(t *testing.T) {
	r, err := newRedactor([]string{"default"})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ in, want string }{
		{"mysql -uroot -phunter2 db", "mysql -uroot -p*** db"},
		{"mysql|-p|db", "mysql -p db"}, // it will ask
		{"app|-phunter22", "app -p***"},
		{"ssh|-p22|host", "ssh -p22 host"},
		{"mkdir|-p|a", "mkdir -p a"},
		{"cp|-pr|a|b", "cp -pr a b"},
		{"nmap|-p80,443|h", "nmap -p80,443 h"},
		{"app|--password=hunter2|x", "app --password=*** x"},
		{"app|--password|hunter2|x", "app --password *** x"},
		{"app|--db-password|hunter2", "app --db-password ***"},
		{"app|--password|--verbose", "app --password --verbose"},
		{"app|--Token=abc", "app --Token=***"},
		{"env|PGPASSWORD=x|AWS_SECRET_ACCESS_KEY=y|psql", "env PGPASSWORD=*** AWS_SECRET_ACCESS_KEY=*** psql"},
		{"curl|-H|Authorization: Bearer abc.def|u", "curl -H Authorization: Bearer *** u"},
		{"curl|-HAuthorization: Basic Zm9v", "curl -HAuthorization: Basic ***"},
		{"curl|-H|X-Api-Key: k", "curl -H X-Api-Key: ***"},
		{"curl|-u|me:pw|https://h/", "curl -u me:*** https://h/"},
		{"git|clone|https://me:pw@h/r.git", "git clone https://me:***@h/r.git"},
		{"curl|https://h/?a=1&access_token=abc&b=2", "curl https://h/?a=1&access_token=***&b=2"},
		{"sh|-c|mysql -uroot -phunter2 -e 'select 1' && curl --token abc u",
			"sh -c mysql -uroot -p*** -e 'select 1' && curl --token *** u"},
		{"sh|-c|PASSWORD='a b' run; echo token", "sh -c PASSWORD='***' run; echo token"},
		{"sshpass|-p|pw|ssh|h", "sshpass -p *** ssh h"},
		{"redis-cli|-a|pw|get|k", "redis-cli -a *** get k"},
		{"passwd|alice", "passwd alice"},
		{"cat|/etc/passwd", "cat /etc/passwd"},
		{"ls|-la|/tmp", "ls -la /tmp"},
	} {
		argv := strings.Split(c.in, "|")
		if len(argv) == 1 {
			argv = strings.Fields(c.in)
		}
		if got := strings.Join(r.arguments(argv), " "); got != c.want {
			t.Errorf("%s:\n got %s\nwant %s", c.in, got, c.want)
		}
	}
}

func TestRedactOwn(t *testing.T) {
	r, err := newRedactor([]string{`--pin=(\d+)`, `nude`})
	if err != nil {
		t.Fatal(err)
	}
	got := r.arguments([]string{"x", "--pin=123", "a nude b", "--password=kept"})
	if want := []string{"x", "--pin=***", "a *** b", "--password=kept"}; !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
	if _, err := newRedactor([]string{"("}); err == nil {
		t.Error("a bad expression was taken")
	}
	if none, err := newRedactor(nil); err != nil || none.arguments([]string{"a", "--password=b"})[1] != "--password=b" {
		t.Error("an empty list hides nothing")
	}
}

// Whatever the arguments are, what is not hidden stays, and nothing panics.
func FuzzRedact(f *testing.F) {
	f.Add("mysql\x00-px\x00--password=y\x00Authorization: Bearer z")
	r, err := newRedactor([]string{"default"})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, s string) {
		argv := strings.Split(s, "\x00")
		if got := r.arguments(argv); len(got) != len(argv) {
			t.Errorf("%d arguments of %d", len(got), len(argv))
		}
	})
}
