package daemon

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"

	"hearth/internal/hearth"
)

// TestTurnstile: the bound holds, one function gets half of it, nobody overtakes one who
// waits for room, and who gives up leaves nothing behind.
func TestTurnstile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newTurnstile(100)
		var mu sync.Mutex
		in := map[string]func(){} // what is through, with its leave
		enter := func(ctx context.Context, name, function string, weight int) {
			go func() {
				leave, err := s.enter(ctx, function, weight)
				if err != nil {
					if hearth.CodeOf(err) != hearth.ErrShuttingDown {
						t.Errorf("%s: %v", name, err)
					}
					return
				}
				mu.Lock()
				defer mu.Unlock()
				in[name] = leave
			}()
			synctest.Wait()
		}
		expect := func(name string, want bool) {
			t.Helper()
			synctest.Wait()
			mu.Lock()
			defer mu.Unlock()
			if _, got := in[name]; got != want {
				t.Errorf("%s is through: %v, want %v", name, got, want)
			}
		}
		leave := func(name string) {
			mu.Lock()
			in[name]()
			delete(in, name)
			mu.Unlock()
			synctest.Wait()
		}
		enter(t.Context(), "a1", "a", 30)
		enter(t.Context(), "a2", "a", 30)
		enter(t.Context(), "b1", "b", 40)
		expect("a1", true)
		expect("a2", false) // more than half
		expect("b1", true)
		enter(t.Context(), "c1", "c", 500) // counts as all there is
		enter(t.Context(), "d1", "d", 10)
		expect("d1", false) // c waits for room
		leave("a1")
		expect("a2", true)
		leave("a2")
		leave("b1")
		expect("c1", true)
		expect("d1", false)
		ctx, cancel := context.WithCancel(t.Context())
		enter(ctx, "e1", "e", 100)
		leave("c1")
		expect("d1", true)
		expect("e1", false)
		enter(t.Context(), "f1", "f", 10)
		expect("f1", false)
		cancel()
		expect("f1", true)
		leave("d1")
		leave("f1")
		if s.used != 0 || len(s.by) != 0 || len(s.queue) != 0 {
			t.Errorf("left: %+v", s)
		}
	})
}
