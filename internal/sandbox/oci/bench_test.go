package oci

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"hearth/internal/sandbox"
)

func benchSpec(n int) sandbox.Spec {
	return sandbox.Spec{
		ID: fmt.Sprintf("i%012x", n), Args: []string{"/bin/sleep", "1000"}, Env: []string{"PATH=/usr/bin:/bin"},
		MemoryMB: 128, CPUs: 0.1, TmpMB: 512,
	}
}

// BenchmarkStartAndDestroy tells how long each takes, without the function's own time.
func BenchmarkStartAndDestroy(b *testing.B) {
	supported(b)
	d := newDriver(b, config(filepath.Join(b.TempDir(), "data")))
	var destroying time.Duration
	for n := 0; b.Loop(); n++ {
		sb, err := d.Start(b.Context(), benchSpec(n))
		if err != nil {
			b.Fatal(err)
		}
		start := time.Now()
		if err := sb.Destroy(b.Context()); err != nil {
			b.Fatal(err)
		}
		sb.Conn().Close()
		sb.Output().Close()
		destroying += time.Since(start)
	}
	b.ReportMetric(float64(destroying.Microseconds())/1000/float64(b.N), "destroy-ms/op")
	b.StopTimer()
	if err := d.Close(); err != nil {
		b.Error(err)
	}
}

// BenchmarkIdle tells what an idle sandbox costs besides the memory of its own: in
// the kernel (descriptors of things, page tables, per-processor data), as long as
// nothing else happens on the machine, and in this process.
func BenchmarkIdle(b *testing.B) {
	supported(b)
	const count = 100
	d := newDriver(b, config(filepath.Join(b.TempDir(), "data")))
	for b.Loop() {
		kernel, self := kernelKiB(b), residentKiB(b)
		boxes := make([]sandbox.Sandbox, count)
		for n := range boxes {
			sb, err := d.Start(b.Context(), benchSpec(n))
			if err != nil {
				b.Fatal(err)
			}
			boxes[n] = sb
		}
		b.ReportMetric(float64(kernelKiB(b)-kernel)/count, "kernel-KiB/sandbox")
		b.ReportMetric(float64(residentKiB(b)-self)/count, "self-KiB/sandbox")
		for _, sb := range boxes {
			sb.Conn().Close()
			sb.Output().Close()
			if err := sb.Destroy(b.Context()); err != nil {
				b.Fatal(err)
			}
		}
	}
	b.StopTimer()
	if err := d.Close(); err != nil {
		b.Error(err)
	}
}

// kernelKiB is the memory that the kernel itself uses.
func kernelKiB(b *testing.B) int {
	b.Helper()
	return field(b, "/proc/meminfo", "Slab") + field(b, "/proc/meminfo", "Percpu") +
		field(b, "/proc/meminfo", "KernelStack") + field(b, "/proc/meminfo", "PageTables")
}

func residentKiB(b *testing.B) int { b.Helper(); return field(b, "/proc/self/status", "RssAnon") }

// field reads "Name:   123 kB".
func field(b *testing.B, file, name string) int {
	b.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		b.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if value, ok := strings.CutPrefix(line, name+":"); ok {
			n, err := strconv.Atoi(strings.Fields(value)[0])
			if err != nil {
				b.Fatal(err)
			}
			return n
		}
	}
	b.Fatalf("%s has no %s", file, name)
	return 0
}

// BenchmarkFreezeThaw tells what each costs the host, and how long the first echo of
// the sandbox takes after it was thawed.
func BenchmarkFreezeThaw(b *testing.B) {
	supported(b)
	d := newDriver(b, config(filepath.Join(b.TempDir(), "data")))
	spec := benchSpec(0)
	spec.Args = []string{"/bin/sh", "-c", "exec cat <&3 >&3"}
	sb, err := d.Start(b.Context(), spec)
	if err != nil {
		b.Fatal(err)
	}
	defer func() {
		if err := sb.Destroy(context.Background()); err != nil {
			b.Error(err)
		}
		sb.Conn().Close()
		sb.Output().Close()
		if err := d.Close(); err != nil {
			b.Error(err)
		}
	}()
	f := sb.(sandbox.Freezer)
	var freezing, thawing, answering time.Duration
	buf := make([]byte, 1)
	for b.Loop() {
		began := time.Now()
		if err := f.Freeze(); err != nil {
			b.Fatal(err)
		}
		freezing += time.Since(began)
		for still := time.Now().Add(200 * time.Microsecond); time.Now().Before(still); {
		}
		began = time.Now()
		if _, err := sb.Conn().Write(buf); err != nil {
			b.Fatal(err)
		}
		if err := f.Thaw(); err != nil {
			b.Fatal(err)
		}
		thawing += time.Since(began)
		if _, err := sb.Conn().Read(buf); err != nil {
			b.Fatal(err)
		}
		answering += time.Since(began)
	}
	for unit, d := range map[string]time.Duration{"freeze-µs/op": freezing, "thaw-µs/op": thawing, "answer-µs/op": answering} {
		b.ReportMetric(float64(d.Nanoseconds())/1000/float64(b.N), unit)
	}
}
