package async

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

// TestAgendaModel: lanes are looked at in the order of their times, each once.
func TestAgendaModel(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		a, model := newAgenda(), map[string]time.Time{}
		now := time.Unix(0, 0)
		key := rapid.SampledFrom([]string{"1.a", "1.b", "60.a", "120.b"})
		at := func(rt *rapid.T) time.Time {
			return now.Add(time.Duration(rapid.IntRange(0, 100).Draw(rt, "in")) * time.Second)
		}
		rt.Repeat(map[string]func(*rapid.T){
			"see": func(rt *rapid.T) {
				k, when := key.Draw(rt, "key"), at(rt)
				a.see(k, when, horizon{})
				if _, ok := model[k]; !ok {
					model[k] = when
				}
			},
			"put": func(rt *rapid.T) {
				k, when := key.Draw(rt, "key"), at(rt)
				a.put(k, when, horizon{})
				model[k] = when
			},
			"take": func(rt *rapid.T) {
				now = now.Add(time.Duration(rapid.IntRange(0, 60).Draw(rt, "later")) * time.Second)
				e, ok := a.take(now)
				for k, when := range model {
					if !when.After(now) && (!ok || when.Before(model[e.key])) {
						rt.Fatalf("took %+v %v, but %s was due at %v", e, ok, k, when)
					}
				}
				if ok {
					if when, there := model[e.key]; !there || when != e.at || when.After(now) {
						rt.Fatalf("took %+v at %v, want %v", e, now, when)
					}
					delete(model, e.key)
				}
			},
			"": func(rt *rapid.T) {
				next, ok := a.next()
				if ok != (len(model) > 0) || len(a.lanes) != len(model) {
					rt.Fatalf("next %v %v of %v", next, ok, model)
				}
			},
		})
	})
}

func TestWaitInALane(t *testing.T) {
	now := time.Unix(1_000_000, 0)
	for _, c := range []struct{ due, want time.Duration }{
		{30 * time.Second, 30 * time.Second},
		{-time.Hour, 0},               // it is late, or the clock went forward
		{time.Hour, 60 * time.Second}, // the clock went back
	} {
		var h horizon
		got, err := h.wait(now, 5, c.due, 60*time.Second, func() (uint64, error) { return 9, nil })
		if got != c.want || err != nil {
			t.Errorf("due in %v: waits %v, %v, want %v", c.due, got, err, c.want)
		}
	}
	if f, d, err := parseLaneKey(laneKey("my-fn_1", 2*time.Minute)); f != "my-fn_1" || d != 2*time.Minute || err != nil {
		t.Error(f, d, err)
	}
	if _, _, err := parseLaneKey("nonsense"); err == nil {
		t.Error("nonsense is a lane")
	}
}

// TestLaneAfterTheClockWentBack: over virtual time, events that come every second into
// a lane of a minute, while the clock goes back by an hour. None waits longer than two
// delays, and two delays after the jump all is as it was.
func TestLaneAfterTheClockWentBack(t *testing.T) {
	const delay = time.Minute
	begin := time.Unix(1_000_000, 0)
	var back time.Duration // how far the clock is behind
	type event struct{ came, due time.Time }
	var lane []event // seq is the index + 1
	var h horizon
	first, longest := 0, time.Duration(0)
	for s := range 600 {
		now := begin.Add(time.Duration(s) * time.Second)
		if s == 100 {
			back = time.Hour
		}
		if s < 400 {
			lane = append(lane, event{now, now.Add(delay - back)})
		}
		for ; first < len(lane); first++ {
			left, err := h.wait(now, uint64(first+1), lane[first].due.Sub(now.Add(-back)), delay,
				func() (uint64, error) { return uint64(len(lane)), nil })
			if err != nil {
				t.Fatal(err)
			}
			if left > 0 {
				break
			}
			waited := now.Sub(lane[first].came)
			longest = max(longest, waited)
			if waited < delay || waited > 2*delay || waited > delay && lane[first].came.After(begin.Add(100*time.Second+2*delay)) {
				t.Errorf("event %d has waited %v", first, waited)
			}
		}
	}
	if first != len(lane) {
		t.Errorf("%d of %d came back", first, len(lane))
	}
	t.Logf("longest wait %v", longest)
}

func TestMeter(t *testing.T) {
	var m meter
	now := time.Unix(1_000_000, 0)
	for range 120 {
		for range 10 {
			m.add(now)
		}
		now = now.Add(time.Second)
	}
	if total, rate := m.read(now); total != 1200 || rate != 10 {
		t.Errorf("%d, %v per second", total, rate)
	}
	if total, rate := m.read(now.Add(time.Hour)); total != 1200 || rate != 0 {
		t.Errorf("%d, %v per second an hour later", total, rate)
	}
	if _, rate := m.read(now.Add(-time.Hour)); rate > 10 {
		t.Errorf("%v per second after the clock went back", rate)
	}
}
