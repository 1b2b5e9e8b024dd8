package hearth

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// Tags that set the configuration, for clients that know only Lambda's API.
const (
	TagModel          = "hearth:execution-model"
	TagMaxConcurrency = "hearth:max-concurrency"
	TagKeepAlive      = "hearth:keep-alive"
	TagFreeze         = "hearth:freeze"

	tagPrefix = "hearth:"
)

// Limits of tags; they are Lambda's. Lengths count characters.
const (
	MaxTags        = 50
	MaxTagKeyLen   = 128
	MaxTagValueLen = 256
)

var tagPattern = regexp.MustCompile(`^[\p{L}\p{Z}\p{N}_.:/=+\-@]*$`)

// ValidateTags checks the number of tags, the length and characters of keys and
// values, and that no key begins with "aws:". The error is an *Error with ErrInvalid.
func ValidateTags(tags map[string]string) error {
	if len(tags) > MaxTags {
		return Errorf(ErrInvalid, "The function would have %d tags, at most %d are allowed: remove some first.", len(tags), MaxTags)
	}
	for _, key := range slices.Sorted(maps.Keys(tags)) {
		value := tags[key]
		var v violations
		switch {
		case key == "" || utf8.RuneCountInString(key) > MaxTagKeyLen:
			v.add("tags", key, "Map keys must satisfy constraint: [Member must have length between 1 and %d]", MaxTagKeyLen)
		case strings.HasPrefix(strings.ToLower(key), "aws:"):
			return Errorf(ErrInvalid, "Tag keys must not begin with \"aws:\", which is reserved; %q does. Choose another name.", clip(key))
		case !tagPattern.MatchString(key):
			v.add("tags", key, "Map keys must satisfy constraint: [letters, digits, spaces and _ . : / = + - @ are allowed]")
		case utf8.RuneCountInString(value) > MaxTagValueLen:
			v.add("tags", value, "Map values must satisfy constraint: [Member must have length less than or equal to %d] (tag %s)", MaxTagValueLen, key)
		case !tagPattern.MatchString(value):
			v.add("tags", value, "Map values must satisfy constraint: [letters, digits, spaces and _ . : / = + - @ are allowed] (tag %s)", clip(key))
		}
		if err := v.err(); err != nil {
			return err
		}
	}
	return nil
}

// ApplyTags sets f's configuration from its "hearth:" tags. A tag that is not there
// changes nothing. TagMaxConcurrency above 1 without TagModel means Concurrent. On
// an error, an *Error with ErrInvalid, f is unchanged.
func ApplyTags(f *Function) error {
	c := f.Latest.Config
	for _, key := range slices.Sorted(maps.Keys(f.Tags)) {
		if !strings.HasPrefix(key, tagPrefix) {
			continue
		}
		if err := applyTag(&c, key, strings.TrimSpace(f.Tags[key])); err != nil {
			return err
		}
	}
	if _, told := f.Tags[TagModel]; !told && f.Tags[TagMaxConcurrency] != "" && c.MaxConcurrency > 1 {
		c.Model = Concurrent
	}
	f.Latest.Config = c
	return nil
}

func applyTag(c *Config, key, value string) error {
	switch key {
	case TagModel:
		model := Model(strings.ToLower(value))
		if model != Exclusive && model != Concurrent {
			return Errorf(ErrInvalid, "Tag %s has the value %q; it must be exclusive or concurrent.%s", key, clip(value), didYouMean(value, "exclusive", "concurrent"))
		}
		if c.Model = model; model == Exclusive {
			c.CapacityProvider = ""
		}
	case TagMaxConcurrency:
		n, err := strconv.Atoi(value)
		if err != nil || n < 1 || n > MaxMaxConcurrency {
			return Errorf(ErrInvalid, "Tag %s has the value %q; it must be a whole number from 1 to %d.", key, clip(value), MaxMaxConcurrency)
		}
		c.MaxConcurrency = n
	case TagKeepAlive:
		d, ok := parseKeepAlive(value)
		if !ok {
			return Errorf(ErrInvalid, "Tag %s has the value %q; it must be 0, or a duration from 1s to 24h such as 90s, 15m or 2h.", key, clip(value))
		}
		c.KeepAlive = d
	case TagFreeze:
		freeze := strings.ToLower(value)
		if freeze != "true" && freeze != "false" {
			return Errorf(ErrInvalid, "Tag %s has the value %q; it must be true or false.%s", key, clip(value), didYouMean(value, "true", "false"))
		}
		c.NoFreeze = freeze == "false"
	default:
		own := []string{TagModel, TagMaxConcurrency, TagKeepAlive, TagFreeze}
		return Errorf(ErrInvalid, "Tag %s is not known: tags that begin with %q are Hearth's own, and these exist: %s.%s",
			clip(key), tagPrefix, strings.Join(own, ", "), didYouMean(key, own...))
	}
	return nil
}

// RetellTags brings those of f's "hearth:" tags up to date that are there and say
// something else than f's configuration does. Whoever changes the configuration in
// another way than by tags calls it, so that tags never contradict it.
func RetellTags(f *Function) {
	c := &f.Latest.Config
	told := map[string]string{
		TagModel: string(c.Model), TagMaxConcurrency: strconv.Itoa(c.MaxConcurrency), TagKeepAlive: keepAliveText(c.KeepAlive),
		TagFreeze: strconv.FormatBool(!c.NoFreeze),
	}
	for key, text := range told {
		value, there := f.Tags[key]
		was := *c
		if there && (applyTag(&was, key, strings.TrimSpace(value)) != nil || !was.Equal(c)) {
			f.Tags[key] = text
		}
	}
	if _, there := f.Tags[TagModel]; !there && c.Model == Exclusive && c.MaxConcurrency > 1 {
		delete(f.Tags, TagMaxConcurrency) // alone it would mean Concurrent
	}
}

// keepAliveText is what parseKeepAlive reads.
func keepAliveText(d time.Duration) string {
	switch {
	case d == NoKeepAlive:
		return "0"
	case d%time.Minute == 0:
		return fmt.Sprintf("%dm", d/time.Minute)
	case d%time.Second == 0:
		return fmt.Sprintf("%ds", d/time.Second)
	}
	return d.String()
}

// parseKeepAlive reads a Go duration; a bare number counts seconds; zero is
// NoKeepAlive.
func parseKeepAlive(s string) (time.Duration, bool) {
	d, err := time.ParseDuration(s)
	if n, errInt := strconv.ParseUint(s, 10, 31); errInt == nil {
		d, err = time.Duration(n)*time.Second, nil
	}
	if err == nil && d == 0 {
		return NoKeepAlive, true
	}
	return d, err == nil && d >= MinKeepAlive && d <= MaxKeepAlive
}

func didYouMean(s string, words ...string) string {
	if near := Nearest(s, words); near != "" {
		return " Did you mean " + near + "?"
	}
	return ""
}
