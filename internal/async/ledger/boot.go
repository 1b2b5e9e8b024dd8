package ledger

import (
	"bytes"
	"os"
	"strings"
)

// headerSize is that of an Index's and a Begun's head: the rest begins on a page of
// its own.
const headerSize = 4096

// bootFile names the present run of the machine.
const bootFile = "/proc/sys/kernel/random/boot_id"

// bootID is empty where it cannot be told; then nothing that was not closed is trusted.
func bootID() string {
	text, err := os.ReadFile(bootFile)
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(text))
}

// header says, with the magic word and the machine's run, whether a file that is never synced while it is in use can be trusted: it
// was closed, or the machine still runs that wrote it.
func header(magic, boot string) []byte {
	return append([]byte(magic+"\n"+boot+"\n"), make([]byte, 64)...)
}

func trusted(f *os.File, magic string) bool {
	buf := make([]byte, len(magic)+128)
	n, _ := f.ReadAt(buf, 0)
	lines := bytes.SplitN(buf[:n], []byte("\n"), 3)
	if len(lines) < 3 || string(lines[0]) != magic {
		return false
	}
	boot := string(lines[1])
	return boot == closedBoot || boot != "" && boot == bootID()
}

// closedBoot stands in the header of a file that was synced and closed.
const closedBoot = "closed"
