package bench

import (
	"encoding/json"
	"sort"
	"sync"
	"time"

	"hearth/internal/hearth"
)

// Burst is what ten calls at once did to one execution model.
type Burst struct {
	Model     hearth.Model  `json:"model"`
	Calls     int           `json:"calls"`
	Instances int           `json:"instances"`
	P50       time.Duration `json:"p50"`
	Max       time.Duration `json:"max"`
	UsedMB    int           `json:"usedMB"`
	Reserved  int           `json:"reservedMB"`
}

func (p *platform) status() (hearth.Status, error) {
	var s hearth.Status
	text, err := p.call("/hearth/v1/status")
	if err != nil {
		return s, err
	}
	return s, json.Unmarshal(text, &s)
}

func (p *platform) isolation() (string, error) {
	s, err := p.status()
	return s.Isolation, err
}

// measureBurst fires calls at once at a fresh function and looks at what served them.
func measureBurst(p *platform, model hearth.Model, calls int) (Burst, error) {
	name := "burst-" + string(model)
	b := Burst{Model: model, Calls: calls}
	err := p.deploy(name, "burst", map[string]any{"runtime": "nodejs", "handler": "index.handler",
		"memoryMB": 256, "model": model, "maxConcurrency": calls, "timeout": "30s"})
	if err != nil {
		return b, err
	}
	took, served, err := p.burst(name, calls)
	if err != nil {
		return b, err
	}
	sort.Slice(took, func(i, j int) bool { return took[i] < took[j] })
	b.Instances, b.P50, b.Max = len(served), took[len(took)/2], took[len(took)-1]
	var list struct{ Instances []hearth.InstanceInfo }
	text, err := p.call("/hearth/v1/instances?function=" + name)
	if err != nil {
		return b, err
	}
	if err := json.Unmarshal(text, &list); err != nil {
		return b, err
	}
	for _, i := range list.Instances {
		b.UsedMB += i.UsedMB
		b.Reserved += i.MemoryMB
	}
	return b, nil
}

// burst makes n calls at once: how long each took, and the numbers each instance
// gave out.
func (p *platform) burst(name string, n int) ([]time.Duration, map[string][]int, error) {
	var mu sync.Mutex
	var wg sync.WaitGroup
	var first error
	took := make([]time.Duration, n)
	served := map[string][]int{}
	for i := range n {
		wg.Go(func() {
			begin := time.Now()
			text, err := p.call("/fn/" + name + "/")
			took[i] = time.Since(begin)
			var answer struct {
				Instance   string
				Invocation int
			}
			if err == nil {
				err = json.Unmarshal(text, &answer)
			}
			mu.Lock()
			defer mu.Unlock()
			if err != nil && first == nil {
				first = err
			}
			served[answer.Instance] = append(served[answer.Instance], answer.Invocation)
		})
	}
	wg.Wait()
	return took, served, first
}
