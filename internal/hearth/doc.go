// Package hearth is the domain: functions, versions, invocations, instances and
// the errors that people see. It uses the standard library only and knows nobody:
// every other room imports it, it imports none of them.
package hearth
