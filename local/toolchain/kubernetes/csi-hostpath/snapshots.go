package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/container-storage-interface/spec/lib/go/csi"
	"golang.org/x/sys/unix"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// CreateSnapshot copies the volume's image while its writers wait. The copy does not depend on the volume any more.
func (c *controller) CreateSnapshot(_ context.Context, request *csi.CreateSnapshotRequest) (*csi.CreateSnapshotResponse, error) {
	volumeID := request.GetSourceVolumeId()
	if err := errors.Join(missing("name", request.GetName(), "source_volume_id", volumeID), known(request.GetParameters())); err != nil {
		return nil, status.Error(codes.InvalidArgument, err.Error())
	}
	id := c.snapshots.id(request.GetName())
	release, err := c.hold(id, volumeID)
	if err != nil {
		return nil, err
	}
	defer release()

	snapshot, err := c.snapshots.find(id)
	switch {
	case errors.Is(err, errAbsent):
		snapshot, err = c.take(request.GetName(), volumeID)
	case err == nil && snapshot.Source != volumeID:
		err = status.Errorf(codes.AlreadyExists, "snapshot %q exists of %s", snapshot.Name, snapshot.Source)
	}
	if err != nil {
		return nil, answer(err)
	}
	return &csi.CreateSnapshotResponse{Snapshot: c.describeSnapshot(snapshot)}, nil
}

func (c *controller) take(name, volumeID string) (item, error) {
	volume, err := c.volumes.find(volumeID)
	if err != nil {
		return item{}, err
	}
	return c.snapshots.create(name, volumeID, func(image string) error {
		if err := c.allot(image, volume); err != nil {
			return err
		}
		return frozen(volume.Image, func() error { return copyImage(volume.Image, image) })
	})
}

// allot makes the file for a copy of the volume, if the disk has room for what the volume really takes.
func (c *controller) allot(image string, volume item) error {
	var used unix.Stat_t
	if err := unix.Stat(volume.Image, &used); err != nil {
		return fmt.Errorf("%s: %w", volume.Image, err)
	}
	available, err := c.available()
	if err != nil {
		return err
	}
	if used.Blocks*512 > available {
		return fmt.Errorf("%s: a snapshot needs %d MiB, %d MiB are not promised to volumes: %w",
			c.root.Name(), used.Blocks*512/mebibyte, available/mebibyte, unix.ENOSPC)
	}
	return makeSparse(image, volume.Size)
}

func (c *controller) DeleteSnapshot(_ context.Context, request *csi.DeleteSnapshotRequest) (*csi.DeleteSnapshotResponse, error) {
	id := request.GetSnapshotId()
	if err := missing("snapshot_id", id); err != nil {
		return nil, err
	}
	release, err := c.hold(id)
	if err != nil {
		return nil, err
	}
	defer release()
	if err := c.snapshots.remove(id); err != nil {
		return nil, answer(err)
	}
	return &csi.DeleteSnapshotResponse{}, nil
}

func (c *controller) ListSnapshots(_ context.Context, request *csi.ListSnapshotsRequest) (*csi.ListSnapshotsResponse, error) {
	snapshots, err := c.snapshots.list()
	if err != nil {
		return nil, answer(err)
	}
	var matching []item
	for _, snapshot := range snapshots {
		if (request.GetSnapshotId() == "" || request.GetSnapshotId() == snapshot.ID) &&
			(request.GetSourceVolumeId() == "" || request.GetSourceVolumeId() == snapshot.Source) {
			matching = append(matching, snapshot)
		}
	}
	shown, next, err := page(matching, request.GetStartingToken(), request.GetMaxEntries())
	if err != nil {
		return nil, err
	}
	response := &csi.ListSnapshotsResponse{NextToken: next}
	for _, snapshot := range shown {
		response.Entries = append(response.Entries, &csi.ListSnapshotsResponse_Entry{Snapshot: c.describeSnapshot(snapshot)})
	}
	return response, nil
}

// describeSnapshot gives the size that a volume restored from it has at least.
func (c *controller) describeSnapshot(snapshot item) *csi.Snapshot {
	return &csi.Snapshot{
		SnapshotId:     snapshot.ID,
		SourceVolumeId: snapshot.Source,
		SizeBytes:      snapshot.Size,
		CreationTime:   timestamppb.New(snapshot.Created),
		ReadyToUse:     true,
	}
}
