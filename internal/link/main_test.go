package link_test

import (
	"fmt"
	"net"
	"os"
	"testing"

	"go.uber.org/goleak"

	"hearth/internal/link"
	"hearth/internal/loop"
)

// onLoop is the loop that watches the connections of all tests, or nil.
var onLoop *loop.Loop

// TestMain runs everything twice: with a reader for each connection, and with a loop.
func TestMain(m *testing.M) {
	if code := m.Run(); code != 0 {
		os.Exit(code)
	}
	var err error
	if onLoop, err = loop.New(); err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	fmt.Println("again, with a loop")
	code := m.Run()
	onLoop.Close()
	if err := goleak.Find(); err != nil && code == 0 {
		fmt.Println(err)
		code = 1
	}
	os.Exit(code)
}

func connect(near net.Conn, opts link.Options) *link.Conn {
	opts.Loop = onLoop
	return link.New(near, opts)
}
