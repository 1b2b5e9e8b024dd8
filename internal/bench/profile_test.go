package bench

import (
	"math"
	"strings"
	"testing"
)

const traces = `File: hearth
Type: cpu
Duration: 4.01s, Total samples = 2310000us (57.63%)
-----------+-------------------------------------------------------
   20000us   runtime.futex
             runtime.futexwakeup
             runtime.entersyscallWakeSysmon
             syscall.read
             hearth/internal/api.(*conn).Read
-----------+-------------------------------------------------------
     labels:  some label
   30000us   internal/runtime/syscall/linux.Syscall6
             syscall.write
             net.(*conn).Write (inline)
             hearth/internal/api.(*conn).Write
             bufio.(*Writer).Flush
             github.com/valyala/fasthttp.(*Server).serveConn
-----------+-------------------------------------------------------
   50000us   runtime.mallocgc
             hearth/internal/registry.(*Registry).Resolve
             hearth/internal/invoke.(*Service).once
`

func TestTraces(t *testing.T) {
	samples, err := parseTraces(traces)
	if err != nil {
		t.Fatal(err)
	}
	if len(samples) != 3 || samples[1].micros != 30000 || samples[1].stack[2] != "net.(*conn).Write" {
		t.Fatalf("%+v", samples)
	}
	got := map[string]float64{}
	sum := 0.0
	for _, s := range stagesOf(samples, 10) {
		got[s.Name] = s.Micros
		sum += s.Micros
	}
	if got[stageWake] != 2 || got[stageSend] != 3 || got[stageLookup] != 5 || math.Abs(sum-10) > 1e-9 {
		t.Errorf("%v", got)
	}
	if _, err := parseTraces("File: hearth\n"); err == nil {
		t.Error("a profile without samples passes")
	}
}

// One function of each part of the path, as they are called today: a function that is
// renamed must not fall out of the table unseen.
func TestStages(t *testing.T) {
	rules := stageRules()
	for stage, stacks := range map[string][]string{
		stageRead:    {"syscall.read < net.(*conn).Read < hearth/internal/api.(*conn).Read < bufio.(*Reader).fill"},
		stageParse:   {"bytes.IndexByte < github.com/valyala/fasthttp.(*RequestHeader).parse", "github.com/valyala/fasthttp.(*Server).serveConn"},
		stageRoute:   {"hearth/internal/api.(*Server).route", "hearth/internal/api.(*Server).serveURL"},
		stageLookup:  {"runtime.mapaccess1 < hearth/internal/registry.(*Registry).Resolve < hearth/internal/invoke.(*Service).once"},
		stageAdmit:   {"sync.(*Map).Load < hearth/internal/invoke.(*Service).admit", "hearth/internal/hearth.NewRequestID < hearth/internal/api.(*Server).route"},
		stageSlot:    {"sync.(*Mutex).Lock < hearth/internal/pool.(*Group).Acquire < hearth/internal/worker.(*Worker).run"},
		stageEncode:  {"runtime.memmove < hearth/internal/api.(*call).buildEvent", "hearth/internal/link.(*Conn).Send"},
		stageWrite:   {"syscall.write < net.(*rawConn).Write < hearth/internal/link.(*Conn).tryWrite < hearth/internal/link.(*Conn).Send"},
		stageWake:    {"internal/runtime/syscall/linux.EpollWait < runtime.netpoll < runtime.findRunnable < runtime.schedule", "hearth/internal/loop.(*Loop).wait < hearth/internal/loop.(*Loop).run"},
		stageBack:    {"syscall.read < hearth/internal/link.(*Conn).read < hearth/internal/link.(*Conn).run"},
		stageAccount: {"hash/crc32.Update < hearth/internal/logs.(*journal).append", "hearth/internal/worker.(*Worker).finish"},
		stageAnswer:  {"hearth/internal/api.eachMember < hearth/internal/api.(*Server).answerURL", "hearth/internal/api.appendHeader < hearth/internal/api.(*hot).quickURL", "hearth/internal/api.(*call).usualHeaders"},
		stageSend:    {"syscall.write < hearth/internal/api.(*conn).Write < bufio.(*Writer).Flush"},
		stageCollect: {"runtime.scanobject < runtime.gcDrain < runtime.gcBgMarkWorker"},
		stageOther:   {"github.com/nats-io/nats-server/v2/server.(*Server).run"},
	} {
		for _, s := range stacks {
			if got := stageOf(rules, strings.Split(s, " < ")); got != stage {
				t.Errorf("%s is counted as %q, not %q", s, got, stage)
			}
		}
	}
}

func TestStraceSummary(t *testing.T) {
	got := parseStrace(`strace: Process 8193 attached
    calls syscall
--------- ----------------
      683 futex
       10 getpid
     2208 write
--------- ----------------
     2901 total
`, 1000)
	if len(got) != 2 || got[0] != (Count{"futex", 0.683}) || got[1] != (Count{"write", 2.208}) {
		t.Errorf("%v", got)
	}
}
