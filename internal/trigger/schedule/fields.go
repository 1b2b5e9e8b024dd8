package schedule

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/robfig/cron/v3"
)

// parsePlain reads the five fields of a crontab.
func parsePlain(f []string, loc *time.Location) (*calendar, error) {
	f = append([]string{}, f...)
	f[4] = sundaySeven.ReplaceAllString(f[4], "${1}0${2}")
	return masks(f, loc)
}

// sundaySeven: crontab(5) has 7 for Sunday too, where it stands alone.
var sundaySeven = regexp.MustCompile(`(^|,)7(,|$)`)

// masks has robfig/cron read minute, hour, day of month, month and day of week.
func masks(f []string, loc *time.Location) (*calendar, error) {
	text := strings.Join(f, " ")
	if strings.Contains(text, "=") { // the library's own TZ=
		return nil, fmt.Errorf("cannot read %q: the time zone is a key of its own, timezone", text)
	}
	parsed, err := cron.NewParser(cron.Minute | cron.Hour | cron.Dom | cron.Month | cron.Dow).Parse(text)
	if err != nil {
		return nil, fmt.Errorf("cannot read the fields %q: %w", text, err)
	}
	s, ok := parsed.(*cron.SpecSchedule)
	if !ok {
		return nil, fmt.Errorf("cannot read the fields %q", text)
	}
	return &calendar{loc: loc, minute: s.Minute, hour: s.Hour, dom: s.Dom, month: s.Month, dow: s.Dow,
		everyHour: s.Hour&(1<<24-1) == 1<<24-1}, nil
}

var errBothDays = errors.New("exactly one of day-of-month and day-of-week in cron(…) must be ?, such as cron(0 12 * * ? *)")

// parseAWS reads EventBridge's six fields: minutes, hours, day of month, month, day of
// week (1 is Sunday), year.
func parseAWS(f []string, loc *time.Location) (*calendar, error) {
	if len(f) != 6 {
		return nil, fmt.Errorf("cron(…) has six fields (minutes hours day-of-month month day-of-week year), not %d, such as cron(0 12 * * ? *)", len(f))
	}
	if (f[2] == "?") == (f[4] == "?") {
		return nil, errBothDays
	}
	for i, field := range f {
		if i != 2 && i != 4 && strings.Contains(field, "?") {
			return nil, fmt.Errorf("? stands for a day only, not in %q", field)
		}
	}
	dom, dow := f[2], f[4]
	day, err := specialDay(dom, dow)
	if err != nil {
		return nil, err
	}
	if day != nil {
		dom, dow = "?", "?"
	} else if dow, err = weekdays(dow); err != nil {
		return nil, err
	}
	c, err := masks([]string{f[0], f[1], dom, f[3], dow}, loc)
	if err != nil {
		return nil, err
	}
	c.day = day
	c.years, err = parseYears(f[5])
	return c, err
}

// weekdays turns EventBridge's numbers, 1 to 7 from Sunday on, into cron's. Names stay.
func weekdays(field string) (string, error) {
	parts := strings.Split(field, ",")
	for i, part := range parts {
		days, step, stepped := strings.Cut(part, "/")
		ends := strings.Split(days, "-")
		for j, end := range ends {
			n, err := strconv.Atoi(end)
			if err != nil {
				continue
			}
			if n < 1 || n > 7 {
				return "", fmt.Errorf("day-of-week in cron(…) is 1 (SUN) to 7 (SAT), not %d", n)
			}
			ends[j] = strconv.Itoa(n - 1)
		}
		parts[i] = strings.Join(ends, "-")
		if stepped {
			parts[i] += "/" + step
		}
	}
	return strings.Join(parts, ","), nil
}

var (
	nearestWeekday = regexp.MustCompile(`^([0-9]{1,2})W$`)
	nthWeekday     = regexp.MustCompile(`^([1-7]|SUN|MON|TUE|WED|THU|FRI|SAT)#([1-5])$`)
	lastWeekday    = regexp.MustCompile(`^([1-7]|SUN|MON|TUE|WED|THU|FRI|SAT)L$`)
	weekdayNames   = []string{"SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"}
)

func weekdayOf(text string) time.Weekday {
	for i, name := range weekdayNames {
		if text == name {
			return time.Weekday(i)
		}
	}
	return time.Weekday(text[0] - '1')
}

// specialDay reads L, LW and 15W as day of month, and L, 6L and 6#3 as day of week; nil
// when there is nothing special.
func specialDay(dom, dow string) (func(time.Time) bool, error) {
	dom, dow = strings.ToUpper(dom), strings.ToUpper(dow)
	switch {
	case dom == "L":
		return func(d time.Time) bool { return d.Day() == daysIn(d) }, nil
	case dom == "LW":
		return func(d time.Time) bool { return d.Day() == weekdayNear(d, daysIn(d)) }, nil
	case dow == "L":
		return func(d time.Time) bool { return d.Weekday() == time.Saturday }, nil
	}
	if m := nearestWeekday.FindStringSubmatch(dom); m != nil {
		n, err := strconv.Atoi(m[1])
		if err != nil || n < 1 || n > 31 {
			return nil, fmt.Errorf("day-of-month in cron(…) is 1 to 31, not %s", m[1])
		}
		return func(d time.Time) bool { return n <= daysIn(d) && d.Day() == weekdayNear(d, n) }, nil
	}
	if m := nthWeekday.FindStringSubmatch(dow); m != nil {
		weekday, nth := weekdayOf(m[1]), int(m[2][0]-'0')
		return func(d time.Time) bool { return d.Weekday() == weekday && (d.Day()-1)/7 == nth-1 }, nil
	}
	if m := lastWeekday.FindStringSubmatch(dow); m != nil {
		weekday := weekdayOf(m[1])
		return func(d time.Time) bool { return d.Weekday() == weekday && d.Day()+7 > daysIn(d) }, nil
	}
	if strings.ContainsAny(dom, "LW#") || strings.Contains(dow, "#") || strings.HasSuffix(dow, "L") {
		return nil, fmt.Errorf("in a field of cron(…), L, W and # stand alone: L, LW or 15W as day-of-month, L, 6L or 6#3 as day-of-week; %q %q is not understood", dom, dow)
	}
	return nil, nil
}

// daysIn is the number of days in d's month.
func daysIn(d time.Time) int {
	return time.Date(d.Year(), d.Month()+1, 0, 0, 0, 0, 0, time.UTC).Day()
}

// weekdayNear is the day from Monday to Friday that is nearest to the nth, within the
// month.
func weekdayNear(d time.Time, n int) int {
	switch time.Date(d.Year(), d.Month(), n, 0, 0, 0, 0, time.UTC).Weekday() {
	case time.Saturday:
		if n == 1 {
			return 3
		}
		return n - 1
	case time.Sunday:
		if n == daysIn(d) {
			return n - 2
		}
		return n + 1
	}
	return n
}

// parseYears reads the year field: *, 2030, 2030-2035, 2026/2, and lists of them.
func parseYears(field string) (func(int) bool, error) {
	if field == "*" {
		return nil, nil
	}
	const first = 1970
	wrong := fmt.Errorf("the year in cron(…) is *, or %d to %d, not %q", first, lastYear, field)
	years := map[int]bool{}
	for part := range strings.SplitSeq(field, ",") {
		span, stepText, stepped := strings.Cut(part, "/")
		low, high, ranged := strings.Cut(span, "-")
		step, from, to := 1, first, lastYear
		var err error
		if stepped {
			if step, err = strconv.Atoi(stepText); err != nil || step < 1 {
				return nil, wrong
			}
		}
		if span != "*" {
			if from, err = strconv.Atoi(low); err != nil {
				return nil, wrong
			}
			if ranged {
				if to, err = strconv.Atoi(high); err != nil {
					return nil, wrong
				}
			} else if !stepped {
				to = from
			}
		}
		if from < first || to > lastYear || from > to {
			return nil, wrong
		}
		for y := from; y <= to; y += step {
			years[y] = true
			if step > lastYear {
				break
			}
		}
	}
	return func(year int) bool { return years[year] }, nil
}
