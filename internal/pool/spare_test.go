package pool

import (
	"errors"
	"slices"
	"testing"
	"time"

	"hearth/internal/hearth"
)

func spareGroup(p *Pool, name string, mb int) *Group {
	v := &hearth.Version{Function: name, Number: hearth.Latest, Identity: name, Config: hearth.Config{MemoryMB: mb}}
	v.Config.Normalize()
	return p.Group(v)
}

// TestSpare: a spare's room gives way to instances, is taken over by the one that it
// becomes, and the ledger comes out even.
func TestSpare(t *testing.T) {
	p := New(Config{MemoryMB: 300})
	a, b := spareGroup(p, "a", 128), spareGroup(p, "b", 200)
	first, ok := p.Spare(40, Disk{}, "x", nil)
	if !ok {
		t.Fatal("no room for a spare on an empty node")
	}
	second, _ := p.Spare(40, Disk{}, "x", nil)
	if free := p.FreeMB(); free != 220 {
		t.Errorf("%d MB are free, want 220", free)
	}
	res, victims, err := p.ReserveOver(a, first, Disk{})
	if err != nil || victims.Instances != nil || victims.Spares != nil {
		t.Fatal(victims, err)
	}
	first.Release() // the reservation has it
	if free := p.FreeMB(); free != 300-128-40 {
		t.Errorf("%d MB are free, want %d", free, 300-128-40)
	}
	if _, _, err := p.ReserveOver(b, second, Disk{}); hearth.CodeOf(err) != hearth.ErrCapacity {
		t.Errorf("b fits beside a: %v", err)
	}
	second.Resize(60)
	if free := p.FreeMB(); free != 300-128-60 {
		t.Errorf("after a refusal and a resize %d MB are free, want %d", free, 300-128-60)
	}
	if _, ok := p.Spare(113, Disk{}, "x", nil); ok {
		t.Error("a spare took memory that was not free")
	}
	small := spareGroup(p, "small", 140)
	over, victims, err := p.Reserve(small, Disk{})
	if err != nil || !slices.Equal(victims.Spares, []*Spare{second}) || len(victims.Instances) != 0 {
		t.Fatalf("it does not take the spare's memory: %+v, %v", victims, err)
	}
	if _, _, err := p.ReserveOver(a, second, Disk{}); !errors.Is(err, ErrSpareTaken) {
		t.Errorf("what has to make room becomes an instance: %v", err)
	}
	second.Resize(200)
	if free := p.FreeMB(); free != 0 {
		t.Errorf("%d MB are free before the victim has gone, want none", free)
	}
	second.Release()
	second.Release()
	second.Resize(60)
	over.Release()
	res.Release()
	if s := p.Stats(); p.FreeMB() != 300 || s.ReservedMB != 0 {
		t.Errorf("at the end %d MB are free, %+v", p.FreeMB(), s)
	}
	p.Close(time.Now())
	if _, ok := p.Spare(1, Disk{}, "x", nil); ok {
		t.Error("a closed pool gives memory")
	}
}

// TestSpareDisk: disk is given away once, spares of the kind that has most go first, and
// as many as are needed.
func TestSpareDisk(t *testing.T) {
	p := New(Config{MemoryMB: 4096})
	disk := Disk{NeedMB: 500, TotalMB: 1700, Full: errDiskFull}
	var spares []*Spare
	for _, kind := range []string{"node", "node", "python", "none"} {
		s, ok := p.Spare(10, disk, kind, nil)
		if want := kind != "none"; ok != want {
			t.Fatalf("%s: %v", kind, ok)
		}
		spares = append(spares, s)
	}
	large := disk
	large.NeedMB = 800
	_, victims, err := p.Reserve(spareGroup(p, "a", 128), large)
	if err != nil || !slices.Equal(victims.Spares, []*Spare{spares[1], spares[0]}) {
		t.Fatalf("victims %+v, %v; want both of node", victims, err)
	}
	// 100 MB of the second are left, and go to the next while it is being removed.
	_, victims, err = p.Reserve(spareGroup(p, "b", 128), Disk{NeedMB: 300, TotalMB: 1700, Full: errDiskFull})
	if err != nil || !slices.Equal(victims.Spares, []*Spare{spares[0]}) {
		t.Fatalf("victims %+v, %v; want the one that goes anyway", victims, err)
	}
	if _, _, err := p.Reserve(spareGroup(p, "c", 128), Disk{NeedMB: 1701, TotalMB: 1700, Full: errDiskFull}); !errors.Is(err, error(errDiskFull)) {
		t.Errorf("more than the disk has: %v", err)
	}
}
