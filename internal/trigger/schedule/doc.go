// Package schedule reads schedule expressions and tells when they are due: Amazon
// EventBridge's rate(…) and cron(…), and plain cron with five fields. It has no clock;
// callers say what time it is.
//
// Fields of cron are read by robfig/cron; walking the calendar is done here, since
// EventBridge's L, W and # and its rules for daylight saving time are not that
// library's:
//
//   - A local time that a change of the clock leaves out does not happen.
//   - A local time that occurs twice counts once, the first time, unless the hour field
//     is * (every minute of the day, as it passes).
package schedule
