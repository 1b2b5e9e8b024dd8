package code

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"io"

	"hearth/internal/hearth"
)

// Info describes an archive that may be deployed.
type Info struct {
	Digest        string // lower-case hexadecimal SHA-256 of the archive
	Base64SHA256  string // the same in base64: Lambda's CodeSha256
	Size          int64  // bytes of the archive
	UnzippedBytes int64  // bytes of its contents, as counted while inflating
	Files         int    // regular files
}

// Code is what a version keeps of an archive.
func (i Info) Code() hearth.Code { return hearth.Code{Digest: i.Digest, Size: i.Size} }

// Inspect checks a whole archive without unpacking it anywhere: structure, names,
// links, limits (Lambda API: 52,428,800 bytes zipped, 262,144,000 unzipped) and the
// contents' checksums. A refusal is a *hearth.Error for the archive's owner:
// ErrTooLarge for the archive itself, ErrInvalid for what it unpacks to, otherwise
// ErrInvalidZip. It works for up to a second or two on a large archive.
func Inspect(zip []byte) (Info, error) {
	a, err := openArchive(bytes.NewReader(zip), int64(len(zip)))
	if err != nil {
		return Info{}, err
	}
	total, err := a.walk(func(*entry) (io.WriteCloser, error) { return discard{}, nil })
	if err != nil {
		return Info{}, err
	}
	sum := sha256.Sum256(zip)
	return Info{
		Digest:        hex.EncodeToString(sum[:]),
		Base64SHA256:  base64.StdEncoding.EncodeToString(sum[:]),
		Size:          int64(len(zip)),
		UnzippedBytes: total,
		Files:         a.files,
	}, nil
}

// discard is a place for bytes that are only counted.
type discard struct{}

func (discard) Write(p []byte) (int, error) { return len(p), nil }
func (discard) Close() error                { return nil }
