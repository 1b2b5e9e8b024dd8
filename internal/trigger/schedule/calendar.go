package schedule

import "time"

// lastYear is the last one that is searched (EventBridge's limit of the year field).
const lastYear = 2199

// anyBit marks a field that was written as * (or ?), in the masks of robfig/cron.
const anyBit = 1 << 63

// calendar is a cron expression: masks of fields, and what masks cannot say.
type calendar struct {
	loc                           *time.Location
	minute, hour, dom, month, dow uint64
	years                         func(year int) bool // nil: every year
	day                           func(date time.Time) bool
	everyHour                     bool
}

// next is the first due minute after t, zero if there is none until lastYear.
func (c *calendar) next(t time.Time) time.Time {
	local := t.In(c.loc)
	// Dates are counted in UTC, where every day exists. The day before is looked at too,
	// since a change of the clock at midnight can lead back into it.
	date := time.Date(local.Year(), local.Month(), local.Day()-1, 0, 0, 0, 0, time.UTC)
	for date.Year() <= lastYear {
		switch {
		case c.years != nil && !c.years(date.Year()):
			date = time.Date(date.Year()+1, 1, 1, 0, 0, 0, 0, time.UTC)
			continue
		case c.month&(1<<uint(date.Month())) == 0:
			date = time.Date(date.Year(), date.Month()+1, 1, 0, 0, 0, 0, time.UTC)
			continue
		case c.dayMatches(date):
			if due := c.within(date, t); !due.IsZero() {
				return due
			}
		}
		date = date.AddDate(0, 0, 1)
	}
	return time.Time{}
}

func (c *calendar) dayMatches(date time.Time) bool {
	if c.day != nil {
		return c.day(date)
	}
	dom, dow := c.dom&(1<<uint(date.Day())) != 0, c.dow&(1<<uint(date.Weekday())) != 0
	if c.dom&anyBit != 0 || c.dow&anyBit != 0 {
		return dom && dow
	}
	return dom || dow // both restricted: crontab(5) takes either
}

// within is the first due minute after t on a date of the zone. It walks over the
// minutes as they pass, so that changes of the clock fall into place.
func (c *calendar) within(date, t time.Time) time.Time {
	const margin = 3 * time.Hour // a zone's day may begin or end off midnight
	from := time.Date(date.Year(), date.Month(), date.Day(), 0, 0, 0, 0, c.loc).Add(-margin)
	to := time.Date(date.Year(), date.Month(), date.Day()+1, 0, 0, 0, 0, c.loc).Add(margin)
	if t.After(from) {
		from = t
	}
	for m := from.Truncate(time.Minute); !m.After(to); m = m.Add(time.Minute) {
		if !m.After(t) {
			continue
		}
		local := m.In(c.loc)
		if c.minute&(1<<uint(local.Minute())) == 0 || c.hour&(1<<uint(local.Hour())) == 0 || local.Day() != date.Day() {
			continue
		}
		if c.everyHour || !repeated(local) {
			return m.UTC()
		}
	}
	return time.Time{}
}

// repeated says whether the clock has shown this local time before, until it was put
// back.
func repeated(local time.Time) bool {
	start, _ := local.ZoneBounds()
	if start.IsZero() {
		return false
	}
	_, now := local.Zone()
	_, before := start.Add(-time.Second).Zone()
	if before <= now {
		return false
	}
	// The clock was put back by before-now seconds: it shows again what it showed in as
	// many seconds before the change.
	return local.Sub(start) < time.Duration(before-now)*time.Second
}
