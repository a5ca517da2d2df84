package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/container-storage-interface/spec/lib/go/csi"
	"google.golang.org/grpc/codes"
)

func TestInterruptedCallsAreClearedAway(t *testing.T) {
	directory := t.TempDir()
	c, _ := opened(t, directory)
	kept := created(t, c, wanted("kept", smallest))
	c.close()
	for _, hidden := range []string{"volumes/.volume-being-made", "volumes/.volume-being-deleted", "snapshots/.snapshot-being-made"} {
		place := filepath.Join(directory, "data", hidden)
		if err := errors.Join(os.Mkdir(place, 0o700), makeSparse(filepath.Join(place, imageFile), smallest)); err != nil {
			t.Fatal(err)
		}
	}
	c, _ = opened(t, directory)
	nothingHidden(t, directory)
	if again := created(t, c, wanted("kept", smallest)); again.GetVolumeId() != kept.GetVolumeId() {
		t.Fatalf("%v became %v", kept, again)
	}
}

func TestFailedCreationLeavesNothing(t *testing.T) {
	directory := t.TempDir()
	c, _ := opened(t, directory)
	t.Setenv("PATH", "") // no mkfs.xfs
	_, err := c.CreateVolume(t.Context(), wanted("broken", smallest))
	refused(t, err, codes.Internal, "mkfs.xfs")
	nothingHidden(t, directory)
	if volumes, err := c.volumes.list(); err != nil || len(volumes) > 0 {
		t.Fatal(volumes, err)
	}
}

func TestDamagedRecordIsReportedAndNotOverwritten(t *testing.T) {
	for name, content := range map[string]string{"cut short": `{"name": "data`, "another's": `{"name": "other"}`, "empty": ""} {
		t.Run(name, func(t *testing.T) {
			directory := t.TempDir()
			c, n := opened(t, directory)
			id := created(t, c, wanted("data", smallest)).GetVolumeId()
			place := filepath.Join(c.volumes.root, id, recordFile)
			if err := os.WriteFile(place, []byte(content), 0o600); err != nil {
				t.Fatal(err)
			}
			c.close()
			c, n = opened(t, directory)
			_, err := c.CreateVolume(t.Context(), wanted("data", smallest))
			refused(t, err, codes.Internal, place, "damaged")
			_, err = c.ListVolumes(t.Context(), &csi.ListVolumesRequest{})
			refused(t, err, codes.Internal, place)
			_, err = n.NodeStageVolume(t.Context(), &csi.NodeStageVolumeRequest{VolumeId: id, StagingTargetPath: t.TempDir(), VolumeCapability: oneWriter})
			refused(t, err, codes.Internal, place)
			if now, err := os.ReadFile(place); err != nil || string(now) != content {
				t.Fatal("overwritten", now, err)
			}
			must[*csi.DeleteVolumeResponse](t)(c.DeleteVolume(t.Context(), &csi.DeleteVolumeRequest{VolumeId: id}))
			created(t, c, wanted("data", smallest))
		})
	}
}

func TestLostImageIsReported(t *testing.T) {
	c, _ := opened(t, t.TempDir())
	id := created(t, c, wanted("data", smallest)).GetVolumeId()
	if err := os.Remove(c.volumes.image(id)); err != nil {
		t.Fatal(err)
	}
	_, err := c.CreateVolume(t.Context(), wanted("data", smallest))
	refused(t, err, codes.Internal, imageFile)
}

func TestWhatIsDeletedDuringAListingIsAbsentAndNotDamaged(t *testing.T) {
	c, _ := opened(t, t.TempDir())
	done := make(chan struct{})
	go func() {
		defer close(done)
		for i := range 200 {
			item, err := c.volumes.create(fmt.Sprint("data-", i), "", func(image string) error { return makeSparse(image, smallest) })
			if err := errors.Join(err, c.volumes.remove(item.ID)); err != nil {
				t.Error(err)
			}
		}
	}()
	for {
		select {
		case <-done:
			return
		default:
			must[*csi.ListVolumesResponse](t)(c.ListVolumes(t.Context(), &csi.ListVolumesRequest{}))
		}
	}
}

func TestPathsAreNotIDs(t *testing.T) {
	c, _ := opened(t, t.TempDir())
	victim := filepath.Join(c.root.Name(), "victim")
	if err := os.Mkdir(victim, 0o700); err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{"../victim", "..", ".", "/etc", "volume-../victim"} {
		must[*csi.DeleteVolumeResponse](t)(c.DeleteVolume(t.Context(), &csi.DeleteVolumeRequest{VolumeId: id}))
		must[*csi.DeleteSnapshotResponse](t)(c.DeleteSnapshot(t.Context(), &csi.DeleteSnapshotRequest{SnapshotId: id}))
		_, err := c.ControllerExpandVolume(t.Context(), &csi.ControllerExpandVolumeRequest{VolumeId: id, CapacityRange: &csi.CapacityRange{RequiredBytes: 1}})
		refused(t, err, codes.NotFound)
	}
	if _, err := os.Stat(victim); err != nil {
		t.Fatal(err)
	}
}

func TestSpaceIsPromisedOnce(t *testing.T) {
	directory := t.TempDir()
	c, _ := opened(t, directory)
	available := must[int64](t)(c.available())
	size := available * 6 / 10 / blockSize * blockSize
	first := created(t, c, wanted("first", size))
	if left := must[int64](t)(c.available()); left > available-size+available/10 {
		t.Fatalf("%d of %d bytes are still available after a volume of %d", left, available, size)
	}
	_, err := c.CreateVolume(t.Context(), wanted("second", size))
	refused(t, err, codes.ResourceExhausted, "promised")
	_, err = c.ControllerExpandVolume(t.Context(), &csi.ControllerExpandVolumeRequest{VolumeId: first.GetVolumeId(), CapacityRange: &csi.CapacityRange{RequiredBytes: 2 * size}})
	refused(t, err, codes.ResourceExhausted, "promised")
	nothingHidden(t, directory)
	must[*csi.DeleteVolumeResponse](t)(c.DeleteVolume(t.Context(), &csi.DeleteVolumeRequest{VolumeId: first.GetVolumeId()}))
	created(t, c, wanted("second", size))
}

func TestSizes(t *testing.T) {
	for name, try := range map[string]struct {
		required, limit, minimum, preferred, want int64
		refusal                                   codes.Code
	}{
		"as asked":            {required: 2 * usual, minimum: smallest, preferred: usual, want: 2 * usual},
		"no range":            {minimum: smallest, preferred: usual, want: usual},
		"limit only":          {limit: 400 * mebibyte, minimum: smallest, preferred: usual, want: 400 * mebibyte},
		"rounded to blocks":   {required: usual + 1, minimum: smallest, preferred: usual, want: usual + blockSize},
		"smallest there is":   {required: 1, minimum: smallest, preferred: usual, want: smallest},
		"limit too low":       {required: 1, limit: smallest - 1, minimum: smallest, preferred: usual, refusal: codes.OutOfRange},
		"below its source":    {required: smallest, limit: smallest, minimum: usual, preferred: usual, refusal: codes.OutOfRange},
		"limit below request": {required: 2, limit: 1, minimum: smallest, preferred: usual, refusal: codes.InvalidArgument},
		"negative":            {required: -1, minimum: smallest, preferred: usual, refusal: codes.InvalidArgument},
	} {
		t.Run(name, func(t *testing.T) {
			size, err := choose(&csi.CapacityRange{RequiredBytes: try.required, LimitBytes: try.limit}, try.minimum, try.preferred)
			refused(t, err, try.refusal)
			if size != try.want {
				t.Fatalf("got %d, want %d", size, try.want)
			}
		})
	}
}

func TestOneCallAtATimePerVolume(t *testing.T) {
	c, _ := opened(t, t.TempDir())
	release, err := c.hold(c.volumes.id("data"), "")
	if err != nil {
		t.Fatal(err)
	}
	_, err = c.CreateVolume(t.Context(), wanted("data", smallest))
	refused(t, err, codes.Aborted)
	created(t, c, wanted("other", smallest)) // neither has a source: that is nothing they share
	release()
	created(t, c, wanted("data", smallest))
}

func TestWhatWouldHaveNoEffectIsRefused(t *testing.T) {
	c, _ := opened(t, t.TempDir())
	request := wanted("data", smallest)
	request.Parameters = map[string]string{"csi.storage.k8s.io/pvc/name": "fine", "replicas": "3"}
	_, err := c.CreateVolume(t.Context(), request)
	refused(t, err, codes.InvalidArgument, "replicas")
	request = wanted("data", smallest)
	request.AccessibilityRequirements = &csi.TopologyRequirement{Requisite: []*csi.Topology{{Segments: map[string]string{topologyKey: "elsewhere"}}}}
	_, err = c.CreateVolume(t.Context(), request)
	refused(t, err, codes.ResourceExhausted, "test-node")
}

func TestOneDriverPerDirectory(t *testing.T) {
	directory := t.TempDir()
	opened(t, directory)
	if _, err := open(filepath.Join(directory, "data"), "test-node"); err == nil || !strings.Contains(err.Error(), "in use") {
		t.Fatal(err)
	}
}
