// Package code turns zip archives into read-only directories, and folders into zip
// archives. Nothing in an archive is trusted: names, sizes, modes and links are
// checked, sizes are counted while inflating, and a refusal is a *hearth.Error that
// names the entry and the way out. A Cache holds each archive unpacked once per node.
package code
