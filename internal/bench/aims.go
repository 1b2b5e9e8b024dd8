package bench

// What rows are against.
const (
	plainNode   = "the handler in a plain Node HTTP server"
	plainPython = "the handler in a plain threaded Python HTTP server"
	nodeProcess = "`node -e 0` as a process"
	steadyState = "steady state"
)

// aims is the whole table, measured nowhere yet: what is to be true of a Hearth that is
// faster than the function by itself.
func aims() []Row {
	rows := []Row{
		{ID: "hello-url-64", Figure: "hello, `concurrent`, c=64, function URL", Against: plainNode, Unit: "req/s", Aim: atLeast(1.3)},
		{ID: "hello-invoke-64", Figure: "hello, `concurrent`, c=64, Invoke", Against: plainNode, Unit: "req/s", Aim: atLeast(1.3)},
		{ID: "hello-url-256", Figure: "hello, `concurrent`, c=256, function URL", Against: plainNode, Unit: "req/s", Aim: atLeast(1.6)},
		{ID: "hello-invoke-256", Figure: "hello, `concurrent`, c=256, Invoke", Against: plainNode, Unit: "req/s", Aim: atLeast(1.6)},
		{ID: "latency-p50", Figure: "hello, p50 at c=1, function URL", Against: plainNode, Unit: "µs", Aim: within(30)},
		{ID: "latency-p99", Figure: "hello, p99 at c=1, function URL", Against: plainNode, Unit: "µs", Aim: atMost(2)},
		{ID: "python-64", Figure: "Python hello, `concurrent`, c=64", Against: plainPython, Unit: "req/s", Aim: atLeast(1.5)},
		{ID: "python-uvicorn-64", Figure: "Python hello, `concurrent`, c=64", Against: "the handler under uvicorn", Unit: "req/s", Aim: atLeast(1.5)},
		{ID: "python-p50", Figure: "Python hello, p50 at c=1", Against: plainPython, Unit: "µs", Aim: within(30)},
		{ID: "python-p99", Figure: "Python hello, p99 at c=1", Against: plainPython, Unit: "µs", Aim: atMost(2)},
	}
	for _, size := range payloadSizes() {
		for _, door := range []string{"url", "invoke"} {
			name := map[string]string{"url": "function URL", "invoke": "Invoke"}[door]
			rows = append(rows, Row{ID: "payload-" + door + "-" + size.id, Figure: size.name + " in and out, " + name,
				Against: plainNode, Unit: "req/s", Aim: atLeast(0.9)})
		}
	}
	rows = append(rows,
		Row{ID: "exclusive-64", Figure: "hello, `exclusive`, instances = cores × 2, c=64", Against: plainNode, Unit: "req/s", Aim: atLeast(0.6)},
		Row{ID: "many-1", Figure: "1,000 functions in turn, all warm, c=1", Against: "one function", Unit: "req/s", Aim: atLeast(0.8)},
		Row{ID: "many-64", Figure: "1,000 functions in turn, all warm, c=64", Against: "one function", Unit: "req/s", Aim: atLeast(0.8)},
		Row{ID: "cold-node", Figure: "cold start, prewarmed, trivial Node function: request to response", Against: nodeProcess, Unit: "ms", Aim: atMost(0.15)},
		Row{ID: "cold-python", Figure: "cold start, prewarmed, Python", Against: "`python3 -c 0` as a process", Unit: "ms", Aim: atMost(0.8)},
		Row{ID: "cold-none", Figure: "cold start, no prewarmed sandbox left, Node", Against: nodeProcess, Unit: "ms", Aim: atMost(1.8)},
		Row{ID: "cold-burst", Figure: "100 cold functions called at once", Against: "100 × `node -e 0`, two at a time", Unit: "ms", Aim: atMost(1)},
		Row{ID: "update-p99", Figure: "update of code under load, p99", Against: steadyState, Unit: "µs", Aim: atMost(2)},
		Row{ID: "idle-memory", Figure: "idle platform, resident memory", Unit: "MB", Aim: below(60)},
		Row{ID: "idle-instance", Figure: "warm idle Node instance, memory over bare node (PSS)", Against: "", Unit: "MB", Aim: within(3)},
		Row{ID: "idle-ready", Figure: "time to `ready`", Unit: "ms", Aim: below(150)},
	)
	for i := range rows {
		rows[i].Verdict = NotMeasured
	}
	return rows
}
