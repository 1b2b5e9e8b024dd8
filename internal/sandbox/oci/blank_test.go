package oci

import (
	"errors"
	"testing"

	"golang.org/x/sys/unix"
)

// TestAside: each time a thread is used up, and so in the end the first one would be.
func TestAside(t *testing.T) {
	threads := map[int]bool{}
	for range 100 {
		err := aside(func() error {
			threads[unix.Gettid()] = true
			return errors.ErrUnsupported
		})
		if err != errors.ErrUnsupported {
			t.Fatal(err)
		}
	}
	if threads[unix.Getpid()] {
		t.Error("the first thread of the process was used, and it never ends")
	}
}
