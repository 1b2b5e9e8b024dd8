package project

import (
	"strconv"
	"strings"

	"hearth/internal/hearth"
)

// natsKeys are those of a trigger's nats.
var natsKeys = []string{"subject", "stream", "batchSize", "newBatchThreshold", "partitionBy", "maxAttempts", "from"}

// nats reads what a trigger of hearth.yml listens to: a subject, or a mapping.
func (d *decoder) nats(e entry, at string) *hearth.NATSTrigger {
	if subject, scalar := text(e.value); scalar {
		return &hearth.NATSTrigger{Subject: subject}
	}
	o := d.object(e.value, at)
	if o == nil {
		return nil
	}
	n := d.natsOf(o)
	for _, e := range o.members {
		if !o.used[e.key] {
			d.problem(e.keyNode, "unknown key %q%s", e.key, hearth.Hint(e.key, natsKeys))
		}
	}
	return n
}

func (d *decoder) natsOf(o *object) *hearth.NATSTrigger {
	n := &hearth.NATSTrigger{}
	n.Subject, _, _ = o.text("subject")
	n.Stream, _, _ = o.text("stream")
	d.count(o, "batchSize", &n.BatchSize)
	d.count(o, "maxAttempts", &n.MaxAttempts)
	if threshold := 0; d.count(o, "newBatchThreshold", &threshold) {
		n.NewBatchThreshold = &threshold
	}
	if s, e, ok := o.text("partitionBy"); ok {
		number, isToken := strings.CutPrefix(s, "token ")
		token, err := strconv.Atoi(strings.TrimSpace(number))
		if err != nil || !isToken || token < 1 {
			d.problem(e.value, "%s must say which word of the subject is the key, such as token 2, not %q", o.at("partitionBy"), s)
		}
		n.PartitionToken = token
	}
	if s, _, ok := o.text("from"); ok {
		n.From = hearth.StartFrom(s)
	}
	return n
}

// count reads a whole number, and tells whether there is one. 0 is refused where it would
// mean the default.
func (d *decoder) count(o *object, key string, n *int) bool {
	s, e, ok := o.text(key)
	if !ok {
		return false
	}
	v, err := strconv.Atoi(s)
	if err != nil || v < 0 || v == 0 && key != "newBatchThreshold" {
		d.problem(e.value, "%s must be a whole number, not %q", o.at(key), s)
		return false
	}
	*n = v
	return true
}

// nats reads a nats event of serverless.yml: a subject, or the mapping of hearth.yml with
// name and enabled in it.
func (s *serverless) nats(e entry, at string, f *Function) {
	t := hearth.Trigger{Name: natsTrigger(len(f.Triggers))}
	before := len(s.d.problems)
	if subject, scalar := text(e.value); scalar {
		t.NATS = &hearth.NATSTrigger{Subject: subject}
	} else if o := s.d.object(e.value, at); o != nil {
		s.d.commonKeys(o, &t)
		t.NATS = s.d.natsOf(o)
		s.ignore(o.rest())
	}
	if t.NATS != nil && len(s.d.problems) == before {
		s.addTrigger(e.value, t, f)
	}
}

// natsTrigger is the name of the ith trigger when it has none.
func natsTrigger(i int) string { return "nats-" + strconv.Itoa(i+1) }
