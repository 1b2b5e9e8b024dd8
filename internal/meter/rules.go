package meter

import "time"

// Bill is what a rule charges for, for one instance or, added up, for many.
type Bill struct {
	GBSeconds  float64 `json:"gbSeconds"`
	Seconds    float64 `json:"seconds"` // of which the GB-seconds are made
	CPUSeconds float64 `json:"cpuSeconds,omitempty"`
	Requests   uint64  `json:"requests"`
}

// Add returns the sum of both bills.
func (b Bill) Add(c Bill) Bill {
	return Bill{
		GBSeconds:  b.GBSeconds + c.GBSeconds,
		Seconds:    b.Seconds + c.Seconds,
		CPUSeconds: b.CPUSeconds + c.CPUSeconds,
		Requests:   b.Requests + c.Requests,
	}
}

// Rates are prices, in whatever currency the asker thinks in.
type Rates struct {
	PerGBSecond  float64
	PerCPUSecond float64
	PerRequest   float64
}

// Cost is what the bill comes to under the rates.
func (b Bill) Cost(r Rates) float64 {
	return b.GBSeconds*r.PerGBSecond + b.CPUSeconds*r.PerCPUSecond + float64(b.Requests)*r.PerRequest
}

// Rule is one vendor's way to bill. The package doc has their sources.
type Rule struct {
	Name string
	bill func(Usage) Bill
}

// Bill bills one instance's usage.
func (r Rule) Bill(u Usage) Bill { return r.bill(u) }

// Rules returns all rules, in the order in which people should see them.
func Rules() []Rule {
	return []Rule{
		{"lambda-2018", lambda2018},
		{"lambda", lambda},
		{"azure-consumption", azure},
		{"binaris", binaris},
		{"active-cpu", activeCPU},
	}
}

// Find returns the rule of that name.
func Find(name string) (Rule, bool) {
	for _, r := range Rules() {
		if r.Name == name {
			return r, true
		}
	}
	return Rule{}, false
}

func lambda2018(u Usage) Bill { return over(u.By100ms, u.MemoryMB, u.Requests) }

func lambda(u Usage) Bill { return over(u.By1ms, u.MemoryMB, u.Requests) }

func azure(u Usage) Bill {
	mb := u.PeakMB
	if mb == 0 {
		mb = u.MemoryMB
	}
	return over(u.MergedMin, max((mb+127)/128, 1)*128, u.Requests)
}

func binaris(u Usage) Bill { return over(u.MergedBy1ms, 1024, u.Requests) }

func activeCPU(u Usage) Bill {
	b := over(u.Life, u.MemoryMB, u.Requests)
	b.CPUSeconds = u.CPU.Seconds()
	return b
}

// over charges for memory over a time.
func over(d time.Duration, mb int, requests uint64) Bill {
	return Bill{GBSeconds: d.Seconds() * float64(mb) / 1024, Seconds: d.Seconds(), Requests: requests}
}
