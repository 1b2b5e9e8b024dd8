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

// theLoop reads the connections of all tests.
var theLoop *loop.Loop

func TestMain(m *testing.M) {
	var err error
	if theLoop, err = loop.New(); err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	code := m.Run()
	theLoop.Close()
	if err := goleak.Find(); err != nil && code == 0 {
		fmt.Println(err)
		code = 1
	}
	os.Exit(code)
}

func connect(near net.Conn, opts link.Options) *link.Conn {
	opts.Loop = theLoop
	return link.New(near, opts)
}
