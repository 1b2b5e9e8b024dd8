// Command probe is the hostile function of the conformance suite. It runs in a
// sandbox, takes orders on descriptor 3, tries what it is told to and says how far it
// got. It is built without C, so that it needs nothing of the sandbox.
package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// request is one order: what to do and up to a few arguments.
type request struct {
	Op   string
	Args []string
}

// reply tells what came of it. Err is the name of the system's error (EPERM, …) or
// the error's text; N and Out are whatever the operation counts and shows.
type reply struct {
	N   int64
	Out string
	Err string
}

func main() {
	mode := "serve"
	if len(os.Args) > 1 {
		mode = os.Args[1]
	}
	switch mode {
	case "serve":
		serve()
	case "exit": // exit CODE
		code, _ := strconv.Atoi(os.Args[2])
		os.Exit(code)
	case "stubborn": // lives on whatever happens
		signal.Ignore()
		fmt.Println("stubborn")
		time.Sleep(time.Hour)
	default:
		fmt.Fprintf(os.Stderr, "probe: %q is no mode\n", mode)
		os.Exit(2)
	}
}

// serve carries out orders until descriptor 3 is closed.
func serve() {
	conn := os.NewFile(3, "descriptor 3")
	orders, answers := bufio.NewReader(conn), json.NewEncoder(conn)
	for {
		line, err := orders.ReadBytes('\n')
		if err != nil {
			os.Exit(0)
		}
		var r request
		if err := json.Unmarshal(line, &r); err != nil {
			os.Exit(3)
		}
		op, ok := operations[r.Op]
		if !ok {
			op = func([]string) (reply, error) { return reply{}, errors.New("no such operation") }
		}
		answer, err := op(r.Args)
		answer.Err = name(err)
		if err := answers.Encode(answer); err != nil {
			os.Exit(0)
		}
	}
}

// name is short for an error.
func name(err error) string {
	var errno unix.Errno
	switch {
	case err == nil:
		return ""
	case errors.As(err, &errno):
		return unix.ErrnoName(errno)
	default:
		return err.Error()
	}
}
