package pool

import (
	"testing"
	"time"

	"hearth/internal/hearth"
)

func spareGroup(p *Pool, name string, mb int) *Group {
	v := &hearth.Version{Function: name, Number: hearth.Latest, Identity: name, Config: hearth.Config{MemoryMB: mb}}
	v.Config.Normalize()
	return p.Group(v)
}

// TestSpare: spare memory gives way to instances, is taken over by the one that it
// becomes, and the ledger comes out even.
func TestSpare(t *testing.T) {
	p := New(Config{MemoryMB: 300})
	a, b := spareGroup(p, "a", 128), spareGroup(p, "b", 200)
	first, ok := p.Spare(40)
	if !ok {
		t.Fatal("no room for a spare on an empty node")
	}
	second, _ := p.Spare(40)
	if free := p.FreeMB(); free != 220 {
		t.Errorf("%d MB are free, want 220", free)
	}
	res, victims, err := p.ReserveOver(a, first)
	if err != nil || victims != nil {
		t.Fatal(victims, err)
	}
	first.Release() // the reservation has it
	if free := p.FreeMB(); free != 300-128-40 {
		t.Errorf("%d MB are free, want %d", free, 300-128-40)
	}
	if mb := p.Crowded(b, nil); mb != 40 {
		t.Errorf("b needs 68 MB more, of which spares have 40; Crowded says %d", mb)
	}
	if _, _, err := p.ReserveOver(b, second); hearth.CodeOf(err) != hearth.ErrCapacity {
		t.Errorf("b fits beside a: %v", err)
	}
	second.Resize(60)
	if free := p.FreeMB(); free != 300-128-60 {
		t.Errorf("after a refusal and a resize %d MB are free, want %d", free, 300-128-60)
	}
	if _, ok := p.Spare(113); ok {
		t.Error("a spare took memory that was not free")
	}
	second.Release()
	second.Release()
	second.Resize(60)
	res.Release()
	if s := p.Stats(); p.FreeMB() != 300 || s.ReservedMB != 0 {
		t.Errorf("at the end %d MB are free, %+v", p.FreeMB(), s)
	}
	p.Close(time.Now())
	if _, ok := p.Spare(1); ok {
		t.Error("a closed pool gives memory")
	}
}
