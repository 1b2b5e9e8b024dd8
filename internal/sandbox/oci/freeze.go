package oci

import "hearth/internal/sandbox"

var _ sandbox.Freezer = (*box)(nil)

// Freeze implements sandbox.Freezer.
func (b *box) Freeze() error { return b.group.FreezeSoon() }

// Thaw implements sandbox.Freezer.
func (b *box) Thaw() error { return b.group.Thaw() }
