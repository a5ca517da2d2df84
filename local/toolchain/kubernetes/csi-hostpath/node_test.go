package main

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/container-storage-interface/spec/lib/go/csi"
	"golang.org/x/sys/unix"
	"google.golang.org/grpc/codes"
)

// staged mounts the volume and returns where.
func staged(t *testing.T, n *node, volume *csi.Volume) string {
	t.Helper()
	needRoot(t)
	place := filepath.Join(t.TempDir(), "staging")
	t.Cleanup(func() {
		if err := unmount(place); err != nil {
			t.Error(err)
		}
	})
	stage(t, n, volume, place)
	return place
}

func stage(t *testing.T, n *node, volume *csi.Volume, place string) {
	t.Helper()
	must[*csi.NodeStageVolumeResponse](t)(n.NodeStageVolume(t.Context(), &csi.NodeStageVolumeRequest{
		VolumeId: volume.GetVolumeId(), StagingTargetPath: place, VolumeCapability: oneWriter,
	}))
}

func write(t *testing.T, path string, content []byte) {
	t.Helper()
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
}

// fill writes until the volume is full, and returns how much it took.
func fill(t *testing.T, path string) int {
	t.Helper()
	file, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	for written := 0; ; written++ {
		if _, err := file.Write(make([]byte, mebibyte)); errors.Is(err, unix.ENOSPC) {
			return written
		} else if err != nil {
			t.Fatal(err)
		}
	}
}

func total(t *testing.T, n *node, volume *csi.Volume, place string) int64 {
	t.Helper()
	return must[*csi.NodeGetVolumeStatsResponse](t)(n.NodeGetVolumeStats(t.Context(), &csi.NodeGetVolumeStatsRequest{
		VolumeId: volume.GetVolumeId(), VolumePath: place,
	})).GetUsage()[0].GetTotal()
}

func TestFullIsOnlyThatVolumeAndGrowthOnlineHelps(t *testing.T) {
	needRoot(t)
	c, n := opened(t, t.TempDir())
	full, other := created(t, c, wanted("full", smallest)), created(t, c, wanted("other", smallest))
	fullAt, otherAt := staged(t, n, full), staged(t, n, other)
	before := total(t, n, full, fullAt)
	if took := fill(t, filepath.Join(fullAt, "filler")); took < 150 || took > 300 {
		t.Fatalf("a volume of 300 MiB took %d MiB", took)
	}
	write(t, filepath.Join(otherAt, "file"), make([]byte, 50*mebibyte))

	grown := must[*csi.ControllerExpandVolumeResponse](t)(c.ControllerExpandVolume(t.Context(), &csi.ControllerExpandVolumeRequest{
		VolumeId: full.GetVolumeId(), CapacityRange: &csi.CapacityRange{RequiredBytes: 2 * smallest},
	}))
	if !grown.GetNodeExpansionRequired() || grown.GetCapacityBytes() != 2*smallest {
		t.Fatal(grown)
	}
	for range 2 { // the second time as if the answer to the first had been lost
		must[*csi.NodeExpandVolumeResponse](t)(n.NodeExpandVolume(t.Context(), &csi.NodeExpandVolumeRequest{VolumeId: full.GetVolumeId(), VolumePath: fullAt}))
	}
	if after := total(t, n, full, fullAt); after-before < 290*mebibyte {
		t.Fatalf("grew from %d to %d", before, after)
	}
	write(t, filepath.Join(fullAt, "more"), make([]byte, 200*mebibyte))
}

func TestGrowthThatTheNodeMissedIsMadeUpForWhenStaged(t *testing.T) {
	needRoot(t)
	c, n := opened(t, t.TempDir())
	volume := created(t, c, wanted("data", smallest))
	must[*csi.ControllerExpandVolumeResponse](t)(c.ControllerExpandVolume(t.Context(), &csi.ControllerExpandVolumeRequest{
		VolumeId: volume.GetVolumeId(), CapacityRange: &csi.CapacityRange{RequiredBytes: 2 * smallest},
	}))
	if size := total(t, n, volume, staged(t, n, volume)); size < 2*smallest-100*mebibyte {
		t.Fatal(size)
	}
}

func TestSnapshotRestoresIntoALargerVolumeBesideItsSource(t *testing.T) {
	needRoot(t)
	directory := t.TempDir()
	c, n := opened(t, directory)
	source := created(t, c, wanted("source", smallest))
	place := staged(t, n, source)
	content := bytes.Repeat([]byte("platform"), mebibyte)
	write(t, filepath.Join(place, "file"), content) // not synced: that is the snapshot's business
	request := &csi.CreateSnapshotRequest{Name: "then", SourceVolumeId: source.GetVolumeId()}
	snapshot := must[*csi.CreateSnapshotResponse](t)(c.CreateSnapshot(t.Context(), request)).GetSnapshot()
	write(t, filepath.Join(place, "file"), []byte("changed since"))

	restoring := wanted("restored", 2*smallest)
	restoring.VolumeContentSource = &csi.VolumeContentSource{Type: &csi.VolumeContentSource_Snapshot{
		Snapshot: &csi.VolumeContentSource_SnapshotSource{SnapshotId: snapshot.GetSnapshotId()},
	}}
	restored := created(t, c, restoring)
	restoredAt := staged(t, n, restored)
	if found, err := os.ReadFile(filepath.Join(restoredAt, "file")); err != nil || !bytes.Equal(found, content) {
		t.Fatalf("restored %d bytes (%v)", len(found), err)
	}
	if size := total(t, n, restored, restoredAt); size < 2*smallest-100*mebibyte {
		t.Fatal(size)
	}
	var image unix.Stat_t
	if err := unix.Stat(c.snapshots.image(snapshot.GetSnapshotId()), &image); err != nil || image.Blocks*512 > 150*mebibyte {
		t.Fatalf("8 MiB of data make a snapshot of %d MiB (%v)", image.Blocks*512/mebibyte, err)
	}
	again := must[*csi.CreateSnapshotResponse](t)(c.CreateSnapshot(t.Context(), request)).GetSnapshot()
	if !again.GetCreationTime().AsTime().Equal(snapshot.GetCreationTime().AsTime()) {
		t.Fatal("a repeated call took a new snapshot")
	}
}

func TestMountedOnceAndAgainAfterAReboot(t *testing.T) {
	needRoot(t)
	directory := t.TempDir()
	c, n := opened(t, directory)
	volume := created(t, c, wanted("data", smallest))
	place := staged(t, n, volume)
	write(t, filepath.Join(place, "file"), []byte("kept"))
	_, err := n.NodeStageVolume(t.Context(), &csi.NodeStageVolumeRequest{VolumeId: volume.GetVolumeId(), StagingTargetPath: t.TempDir(), VolumeCapability: oneWriter})
	refused(t, err, codes.FailedPrecondition, place)
	_, err = c.DeleteVolume(t.Context(), &csi.DeleteVolumeRequest{VolumeId: volume.GetVolumeId()})
	refused(t, err, codes.FailedPrecondition, place)

	if err := unmount(place); err != nil { // what a reboot does
		t.Fatal(err)
	}
	c.close()
	_, n = opened(t, directory)
	stage(t, n, volume, place)
	stage(t, n, volume, place)
	if found, err := os.ReadFile(filepath.Join(place, "file")); err != nil || string(found) != "kept" {
		t.Fatal(found, err)
	}
}

func TestPublishingIsRepeatableAndReadOnlyIsReadOnly(t *testing.T) {
	needRoot(t)
	c, n := opened(t, t.TempDir())
	volume := created(t, c, wanted("data", smallest))
	request := &csi.NodePublishVolumeRequest{
		VolumeId: volume.GetVolumeId(), StagingTargetPath: staged(t, n, volume), TargetPath: filepath.Join(t.TempDir(), "pod"),
		VolumeCapability: oneWriter, Readonly: true,
	}
	t.Cleanup(func() {
		if err := unmount(request.GetTargetPath()); err != nil {
			t.Error(err)
		}
	})
	// As if the driver had been killed between its two mount calls.
	if err := errors.Join(os.Mkdir(request.GetTargetPath(), 0o700), bind(request.GetStagingTargetPath(), request.GetTargetPath(), false)); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		must[*csi.NodePublishVolumeResponse](t)(n.NodePublishVolume(t.Context(), request))
	}
	if err := os.WriteFile(filepath.Join(request.GetTargetPath(), "file"), nil, 0o600); !errors.Is(err, unix.EROFS) {
		t.Fatal(err)
	}
	second := &csi.NodePublishVolumeRequest{
		VolumeId: volume.GetVolumeId(), StagingTargetPath: request.GetStagingTargetPath(), TargetPath: filepath.Join(t.TempDir(), "other"),
		VolumeCapability: &csi.VolumeCapability{
			AccessType: oneWriter.GetAccessType(),
			AccessMode: &csi.VolumeCapability_AccessMode{Mode: csi.VolumeCapability_AccessMode_SINGLE_NODE_SINGLE_WRITER},
		},
	}
	_, err := n.NodePublishVolume(t.Context(), second)
	refused(t, err, codes.FailedPrecondition, request.GetTargetPath())
	for range 2 {
		must[*csi.NodeUnpublishVolumeResponse](t)(n.NodeUnpublishVolume(t.Context(), &csi.NodeUnpublishVolumeRequest{
			VolumeId: volume.GetVolumeId(), TargetPath: request.GetTargetPath(),
		}))
	}
	if _, err := os.Stat(request.GetTargetPath()); !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
}
