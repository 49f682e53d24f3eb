package deliver

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"weft/ledger"
)

// server is a fake: answer decides each attempt, got is what it took.
type server struct {
	mu     sync.Mutex
	answer func(ctx context.Context, msg string) error
	got    []string
	tries  []time.Time
}

func (s *server) Send(ctx context.Context, msg []byte) error {
	s.mu.Lock()
	answer := s.answer
	s.tries = append(s.tries, time.Now())
	s.mu.Unlock()
	if answer != nil {
		if err := answer(ctx, string(msg)); err != nil {
			return err
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.got = append(s.got, strings.TrimRight(string(msg), "."))
	return nil
}

func (s *server) set(answer func(context.Context, string) error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.answer = answer
}

// attempts returns the times of the attempts since it was last asked.
func (s *server) attempts() []time.Time {
	synctest.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	tries := s.tries
	s.tries = nil
	return tries
}

var errDown = errors.New("connection refused")

func down(context.Context, string) error { return errDown }

func hang(ctx context.Context, _ string) error {
	<-ctx.Done()
	return ctx.Err()
}

type refusal struct{ after time.Duration }

func (refusal) Error() string               { return "answered 400" }
func (r refusal) Permanent() bool           { return r.after == 0 }
func (refusal) Reason() string              { return "http_400" }
func (r refusal) RetryAfter() time.Duration { return r.after }
func refuse(context.Context, string) error  { return fmt.Errorf("send: %w", refusal{}) }
func tooMany(context.Context, string) error { return refusal{after: 100 * time.Second} }
func numbers(from, to int) (out []string) {
	for i := from; i < to; i++ {
		out = append(out, fmt.Sprint(i))
	}
	return out
}

type rig struct {
	*Queue
	server  *server
	ledger  *ledger.Ledger
	reports []string
}

func start(t *testing.T, o Options, s *server) *rig {
	t.Helper()
	r := &rig{server: s, ledger: ledger.New()}
	o.Sender, o.Stage = s, r.ledger.Stage("deliver")
	o.Report = func(err error) { r.reports = append(r.reports, err.Error()) }
	q, err := Start(o)
	if err != nil {
		t.Fatal(err)
	}
	r.Queue = q
	return r
}

func (r *rig) send(t *testing.T, from, to int) {
	t.Helper()
	for _, n := range numbers(from, to) {
		if !r.Enqueue([]byte(n), 3) {
			t.Errorf("message %s was not taken", n)
		}
	}
}

func (r *rig) close(t *testing.T, within time.Duration) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), within)
	defer cancel()
	if err := r.Close(ctx); err != nil {
		t.Error(err)
	}
}

// expect checks the ledger, and that its sums agree with what is pending.
func (r *rig) expect(t *testing.T, in, out int64, dropped map[string]int64) {
	t.Helper()
	synctest.Wait()
	c := r.ledger.Snapshot()[0]
	if c.In != in || c.Out != out || (len(dropped)+len(c.Dropped) > 0 && !reflect.DeepEqual(c.Dropped, dropped)) {
		t.Errorf("ledger is %+v, want in %d, out %d, dropped %v", c, in, out, dropped)
	}
	r.balance(t)
}

func (r *rig) balance(t *testing.T) {
	t.Helper()
	c := r.ledger.Snapshot()[0]
	rest := c.In - c.Out - r.Pending()
	for _, n := range c.Dropped {
		rest -= n
	}
	if rest != 0 {
		t.Errorf("sums differ by %d: %+v, pending %d", rest, c, r.Pending())
	}
}

func (s *server) expect(t *testing.T, want []string) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range max(len(s.got), len(want)) {
		if i >= len(s.got) || i >= len(want) || s.got[i] != want[i] {
			t.Errorf("the server got %d messages, want %d; they differ at %d", len(s.got), len(want), i)
			return
		}
	}
}

func spoolOptions(t *testing.T) Options {
	return Options{Dir: filepath.Join(t.TempDir(), "spool"), SpoolBytes: 1 << 20}
}

func bubble(t *testing.T, f func(t *testing.T)) {
	t.Helper()
	synctest.Test(t, f)
}

func TestHealthyServerNeedsNoDisk(t *testing.T) {
	bubble(t, func(t *testing.T) {
		o := spoolOptions(t)
		r := start(t, o, &server{answer: func(context.Context, string) error { time.Sleep(time.Millisecond); return nil }})
		r.send(t, 0, 100)
		synctest.Wait()
		r.close(t, time.Minute)
		r.server.expect(t, numbers(0, 100))
		r.expect(t, 300, 300, nil)
		if entries, err := os.ReadDir(o.Dir); err != nil || len(entries) != 0 {
			t.Errorf("left %v %v", entries, err)
		}
	})
}

func TestOutageThenAllOnceInOrder(t *testing.T) {
	for _, outage := range []func(context.Context, string) error{down, hang} {
		bubble(t, func(t *testing.T) {
			r := start(t, spoolOptions(t), &server{})
			r.send(t, 0, 10)
			time.Sleep(time.Minute)
			r.server.set(func(ctx context.Context, m string) error {
				ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
				defer cancel()
				return outage(ctx, m)
			})
			r.send(t, 10, 60)
			time.Sleep(time.Minute)
			r.send(t, 60, 110)
			time.Sleep(time.Minute)
			r.server.set(nil)
			r.send(t, 110, 120)
			time.Sleep(time.Minute)
			r.send(t, 120, 130)
			time.Sleep(time.Second)
			r.server.expect(t, numbers(0, 130))
			r.expect(t, 390, 390, nil)
			synctest.Wait()
			if len(r.reports) != 1 {
				t.Errorf("one outage, reports %q", r.reports)
			}
			r.close(t, time.Second)
		})
	}
}

func TestBackoff(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := start(t, Options{}, &server{answer: down})
		r.send(t, 0, 1)
		time.Sleep(10 * time.Minute)
		tries := r.server.attempts()
		want := 500 * time.Millisecond
		for i := 1; i < len(tries); i++ {
			if d := tries[i].Sub(tries[i-1]); d < want/2 || d > want+time.Millisecond {
				t.Errorf("pause %d is %v, want %v to %v", i, d, want/2, want)
			}
			want = min(want*2, 30*time.Second)
		}
		if len(tries) < 20 || len(tries) > 50 {
			t.Errorf("%d attempts in 10 minutes", len(tries))
		}
		r.server.set(tooMany)
		time.Sleep(time.Minute)
		r.server.attempts()
		time.Sleep(1000 * time.Second)
		if n := len(r.server.attempts()); n != 10 {
			t.Errorf("%d attempts in 1000s with Retry-After 100", n)
		}
		r.server.set(nil)
		time.Sleep(2 * time.Minute)
		r.server.expect(t, numbers(0, 1))
		r.close(t, time.Second)
	})
}

func TestPermanentErrorIsDroppedNotRetried(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := start(t, spoolOptions(t), &server{})
		r.server.set(func(ctx context.Context, m string) error {
			if m == "1" || m == "3" {
				return refuse(ctx, m)
			}
			return nil
		})
		r.send(t, 0, 5)
		synctest.Wait()
		r.server.expect(t, []string{"0", "2", "4"})
		r.expect(t, 15, 9, map[string]int64{"http_400": 6})
		if n := len(r.server.attempts()); n != 5 || len(r.reports) != 2 {
			t.Errorf("%d attempts, reports %q", n, r.reports)
		}
		r.close(t, time.Second)
	})
}

func TestBurstAgainstHangingServerGoesToDisk(t *testing.T) {
	bubble(t, func(t *testing.T) {
		o := spoolOptions(t)
		o.SpoolBytes, o.Messages, o.Slow = 64<<20, 32, time.Hour
		r := start(t, o, &server{answer: hang})
		for i := range 2000 {
			if i%10 == 0 {
				synctest.Wait() // the worker gets to run, as beside a real sink
			}
			r.send(t, i, i+1)
		}
		r.expect(t, 6000, 0, nil)
		r.close(t, time.Second)
		r.server.set(nil)
		r = start(t, o, r.server)
		time.Sleep(time.Second)
		r.server.expect(t, numbers(0, 2000))
		r.expect(t, 6000, 6000, nil)
		r.close(t, time.Second)
	})
}

func TestSlowAttemptIsOnDiskBeforeItEnds(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := start(t, spoolOptions(t), &server{answer: hang})
		r.send(t, 0, 3)
		time.Sleep(1500 * time.Millisecond)
		if st := r.spool.Stats(); st.Messages != 3 {
			t.Errorf("on disk after 1.5s: %+v", st)
		}
		r.close(t, time.Second)
		r.expect(t, 9, 0, nil)
	})
}

func TestRestartDelivers(t *testing.T) {
	for name, answer := range map[string]func(context.Context, string) error{"down": down, "hang": hang} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				o := spoolOptions(t)
				s := &server{answer: answer}
				r := start(t, o, s)
				r.send(t, 0, 20)
				time.Sleep(10 * time.Second)
				r.send(t, 20, 25)
				r.close(t, 5*time.Second)
				r.expect(t, 75, 0, nil)
				if r.Enqueue([]byte("late"), 2) {
					t.Error("a closed queue takes messages")
				}
				r.expect(t, 77, 0, map[string]int64{Closed: 2})

				s.set(nil)
				r = start(t, o, s)
				r.send(t, 25, 30)
				r.close(t, 5*time.Second)
				s.expect(t, numbers(0, 30))
				r.expect(t, 90, 90, nil)
			})
		})
	}
}

func TestCloseIsQuickWhenServerIsDown(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := start(t, spoolOptions(t), &server{answer: down})
		r.send(t, 0, 5)
		time.Sleep(time.Minute)
		before := time.Now()
		r.close(t, time.Hour)
		if d := time.Since(before); d > 0 {
			t.Errorf("took %v", d)
		}
	})
}

func TestSpoolBoundDropsOldest(t *testing.T) {
	bubble(t, func(t *testing.T) {
		o := spoolOptions(t)
		o.SpoolBytes = 4000
		r := start(t, o, &server{answer: down})
		for i := range 200 {
			r.Enqueue(fmt.Appendf(nil, "%d%s", i, strings.Repeat(".", 84)), 3)
			synctest.Wait()
		}
		kept := r.spool.Stats().Messages
		if kept < 15 || kept > 40 {
			t.Errorf("%d messages kept", kept)
		}
		r.server.set(nil)
		time.Sleep(time.Minute)
		r.server.expect(t, numbers(200-kept, 200))
		r.expect(t, 600, int64(kept)*3, map[string]int64{"spool_full": int64(200-kept) * 3})
		r.close(t, time.Second)
	})
}

func TestWithoutSpool(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := start(t, Options{Messages: 10}, &server{answer: down})
		r.send(t, 0, 1)
		synctest.Wait()
		for i := range 15 {
			r.Enqueue([]byte(fmt.Sprint(i+1)), 3)
		}
		synctest.Wait()
		r.expect(t, 48, 0, map[string]int64{QueueFull: 15})
		r.server.set(nil)
		time.Sleep(time.Minute)
		r.server.expect(t, numbers(0, 11))
		r.server.set(down)
		r.send(t, 11, 14)
		r.close(t, 10*time.Second)
		r.expect(t, 57, 33, map[string]int64{QueueFull: 15, Shutdown: 9})
	})
}

func TestByteBound(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := start(t, Options{Bytes: 1000}, &server{answer: hang})
		r.send(t, 0, 1)
		synctest.Wait()
		for range 4 {
			r.Enqueue(make([]byte, 400), 1)
		}
		r.expect(t, 7, 0, map[string]int64{QueueFull: 2})
		r.close(t, time.Second)
		r.expect(t, 7, 0, map[string]int64{QueueFull: 2, Shutdown: 5})
	})
}

func TestDiskTrouble(t *testing.T) {
	bubble(t, func(t *testing.T) {
		o := spoolOptions(t)
		o.Messages = 50
		r := start(t, o, &server{answer: down})
		if err := os.RemoveAll(o.Dir); err != nil { // no segment can be made
			t.Fatal(err)
		}
		r.send(t, 0, 40)
		time.Sleep(time.Minute)
		r.expect(t, 120, 0, nil)
		if err := os.MkdirAll(o.Dir, 0o700); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		if st := r.spool.Stats(); st.Messages != 40 {
			t.Errorf("on disk: %+v", st)
		}
		r.send(t, 40, 50)
		r.server.set(nil)
		time.Sleep(time.Minute)
		r.server.expect(t, numbers(0, 50))
		r.expect(t, 150, 150, nil)
		if len(r.reports) != 2 {
			t.Errorf("reports %q", r.reports)
		}
		_ = r.Close(context.Background())
	})
}

func TestStartRefusesSpoolInUse(t *testing.T) {
	o := spoolOptions(t)
	r := start(t, o, &server{})
	o.Stage, o.Sender = r.ledger.Stage("second"), r.server
	if _, err := Start(o); err == nil || !strings.Contains(err.Error(), "in use") {
		t.Errorf("got %v", err)
	}
	r.close(t, time.Second)
}

// TestSumsAgree lets a server misbehave at random over many restarts: whatever
// happens, messages come in order and once, and the books balance.
func TestSumsAgree(t *testing.T) {
	for seed := range uint64(5) {
		bubble(t, func(t *testing.T) {
			rnd, mood := rand.New(rand.NewPCG(seed, 1)), rand.New(rand.NewPCG(seed, 2))
			s := &server{}
			s.set(func(ctx context.Context, m string) error {
				return []func(context.Context, string) error{
					down, refuse, tooMany,
					func(ctx context.Context, _ string) error {
						ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
						defer cancel()
						return hang(ctx, "")
					},
					func(context.Context, string) error { return nil },
					func(context.Context, string) error { return nil },
				}[mood.IntN(6)](ctx, m)
			})
			o := spoolOptions(t)
			o.SpoolBytes, o.Messages = 3000, 8
			n := 0
			for range 6 {
				r := start(t, o, s)
				for range rnd.IntN(200) {
					r.Enqueue(fmt.Appendf(nil, "%04d", n), rnd.IntN(5))
					n++
					if rnd.IntN(3) == 0 {
						time.Sleep(time.Duration(rnd.IntN(3000)) * time.Millisecond)
					}
				}
				r.close(t, time.Duration(rnd.IntN(10000))*time.Millisecond)
				r.balance(t)
			}
			s.mu.Lock()
			defer s.mu.Unlock()
			for i := 1; i < len(s.got); i++ {
				if s.got[i] <= s.got[i-1] {
					t.Fatalf("seed %d: %s after %s", seed, s.got[i], s.got[i-1])
				}
			}
		})
	}
}
