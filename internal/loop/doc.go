// Package loop is an event loop over epoll(7): one goroutine that watches many sockets
// and calls back those that are ready. Between two looks at the sockets lies a turn;
// what many callbacks want to write to one socket can be put off to the turn's end and
// leaves in one write.
//
// A goroutine per socket is easier to write, and costs a switch for every message. On
// the path of an invocation that is two switches, and two processors woken, for some
// microseconds of work (ADR 18).
package loop
