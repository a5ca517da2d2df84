package main

import (
	"context"
	"errors"
	"os"
	"slices"

	"github.com/container-storage-interface/spec/lib/go/csi"
	"github.com/moby/sys/mountinfo"
	"golang.org/x/sys/unix"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// node mounts volumes: once per volume where it is staged, and from there into each pod.
type node struct {
	csi.UnimplementedNodeServer
	*driver
}

func (n *node) NodeGetInfo(context.Context, *csi.NodeGetInfoRequest) (*csi.NodeGetInfoResponse, error) {
	return &csi.NodeGetInfoResponse{NodeId: n.nodeID, AccessibleTopology: n.topology()}, nil
}

func (n *node) NodeGetCapabilities(context.Context, *csi.NodeGetCapabilitiesRequest) (*csi.NodeGetCapabilitiesResponse, error) {
	response := &csi.NodeGetCapabilitiesResponse{}
	for _, kind := range []csi.NodeServiceCapability_RPC_Type{
		csi.NodeServiceCapability_RPC_STAGE_UNSTAGE_VOLUME,
		csi.NodeServiceCapability_RPC_EXPAND_VOLUME,
		csi.NodeServiceCapability_RPC_GET_VOLUME_STATS,
		csi.NodeServiceCapability_RPC_SINGLE_NODE_MULTI_WRITER,
	} {
		response.Capabilities = append(response.Capabilities, &csi.NodeServiceCapability{
			Type: &csi.NodeServiceCapability_Rpc{Rpc: &csi.NodeServiceCapability_RPC{Type: kind}},
		})
	}
	return response, nil
}

// NodeStageVolume mounts the volume, and grows its filesystem if the volume has grown since it was last mounted.
func (n *node) NodeStageVolume(_ context.Context, request *csi.NodeStageVolumeRequest) (*csi.NodeStageVolumeResponse, error) {
	target := request.GetStagingTargetPath()
	if err := errors.Join(missing("volume_id", request.GetVolumeId(), "staging_target_path", target), supported(request.GetVolumeCapability())); err != nil {
		return nil, status.Error(codes.InvalidArgument, err.Error())
	}
	volume, release, err := n.claim(request.GetVolumeId())
	if err != nil {
		return nil, err
	}
	defer release()
	if err := os.MkdirAll(target, 0o750); err != nil {
		return nil, answer(err)
	}
	mounts, err := mountsOf(volume.Image)
	if err != nil {
		return nil, answer(err)
	}
	staged, err := mountAt(volume.Image, target)
	if err != nil {
		return nil, answer(err)
	}
	if staged == nil {
		if len(mounts) > 0 {
			return nil, status.Errorf(codes.FailedPrecondition, "volume %s is staged at %s", volume.ID, mounts[0].Mountpoint)
		}
		if err := mount(volume.Image, target, request.GetVolumeCapability().GetMount().GetMountFlags()); err != nil {
			return nil, answer(err)
		}
	}
	if err := n.growAt(volume, target); err != nil {
		return nil, answer(err)
	}
	return &csi.NodeStageVolumeResponse{}, nil
}

func (n *node) NodeUnstageVolume(_ context.Context, request *csi.NodeUnstageVolumeRequest) (*csi.NodeUnstageVolumeResponse, error) {
	if err := missing("volume_id", request.GetVolumeId(), "staging_target_path", request.GetStagingTargetPath()); err != nil {
		return nil, err
	}
	release, err := n.hold(request.GetVolumeId())
	if err != nil {
		return nil, err
	}
	defer release()
	if err := unmount(request.GetStagingTargetPath()); err != nil {
		return nil, answer(err)
	}
	return &csi.NodeUnstageVolumeResponse{}, nil
}

func (n *node) NodePublishVolume(_ context.Context, request *csi.NodePublishVolumeRequest) (*csi.NodePublishVolumeResponse, error) {
	staging, target := request.GetStagingTargetPath(), request.GetTargetPath()
	if err := errors.Join(missing("volume_id", request.GetVolumeId(), "target_path", target), supported(request.GetVolumeCapability())); err != nil {
		return nil, status.Error(codes.InvalidArgument, err.Error())
	}
	volume, release, err := n.claim(request.GetVolumeId())
	if err != nil {
		return nil, err
	}
	defer release()
	if staging == "" {
		return nil, status.Error(codes.FailedPrecondition, "staging_target_path is missing")
	}
	mounts, err := mountsOf(volume.Image)
	if err != nil {
		return nil, answer(err)
	}
	places := []string{}
	for _, mount := range mounts {
		places = append(places, mount.Mountpoint)
	}
	if !slices.Contains(places, resolved(staging)) {
		return nil, status.Errorf(codes.FailedPrecondition, "volume %s is not staged at %s", volume.ID, staging)
	}
	others := slices.DeleteFunc(places, func(place string) bool { return place == resolved(staging) || place == resolved(target) })
	alone := request.GetVolumeCapability().GetAccessMode().GetMode() == csi.VolumeCapability_AccessMode_SINGLE_NODE_SINGLE_WRITER
	if alone && len(others) > 0 {
		return nil, status.Errorf(codes.FailedPrecondition, "volume %s is for one writer, and %s has it", volume.ID, others[0])
	}
	if err := os.MkdirAll(target, 0o750); err != nil {
		return nil, answer(err)
	}
	if err := bind(staging, target, request.GetReadonly()); err != nil {
		return nil, answer(err)
	}
	return &csi.NodePublishVolumeResponse{}, nil
}

func (n *node) NodeUnpublishVolume(_ context.Context, request *csi.NodeUnpublishVolumeRequest) (*csi.NodeUnpublishVolumeResponse, error) {
	target := request.GetTargetPath()
	if err := missing("volume_id", request.GetVolumeId(), "target_path", target); err != nil {
		return nil, err
	}
	release, err := n.hold(request.GetVolumeId())
	if err != nil {
		return nil, err
	}
	defer release()
	if err := unmount(target); err != nil {
		return nil, answer(err)
	}
	// Not RemoveAll: should the unmount not have worked, the directory is the volume's content.
	if err := os.Remove(target); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, answer(err)
	}
	return &csi.NodeUnpublishVolumeResponse{}, nil
}

func (n *node) NodeExpandVolume(_ context.Context, request *csi.NodeExpandVolumeRequest) (*csi.NodeExpandVolumeResponse, error) {
	if err := missing("volume_id", request.GetVolumeId(), "volume_path", request.GetVolumePath()); err != nil {
		return nil, err
	}
	volume, release, err := n.claim(request.GetVolumeId())
	if err != nil {
		return nil, err
	}
	defer release()
	if required := request.GetCapacityRange().GetRequiredBytes(); required > volume.Size {
		return nil, status.Errorf(codes.OutOfRange, "volume %s has %d bytes, not %d: expand it in the controller first", volume.ID, volume.Size, required)
	}
	if err := n.growAt(volume, request.GetVolumePath()); err != nil {
		return nil, answer(err)
	}
	return &csi.NodeExpandVolumeResponse{CapacityBytes: volume.Size}, nil
}

func (n *node) NodeGetVolumeStats(_ context.Context, request *csi.NodeGetVolumeStatsRequest) (*csi.NodeGetVolumeStatsResponse, error) {
	if err := missing("volume_id", request.GetVolumeId(), "volume_path", request.GetVolumePath()); err != nil {
		return nil, err
	}
	volume, err := n.volumes.find(request.GetVolumeId())
	if err != nil {
		return nil, answer(err)
	}
	if _, err := n.mounted(volume, request.GetVolumePath()); err != nil {
		return nil, answer(err)
	}
	var disk unix.Statfs_t
	if err := unix.Statfs(request.GetVolumePath(), &disk); err != nil {
		return nil, answer(err)
	}
	total, free, usable := int64(disk.Blocks)*disk.Bsize, int64(disk.Bfree)*disk.Bsize, int64(disk.Bavail)*disk.Bsize
	return &csi.NodeGetVolumeStatsResponse{Usage: []*csi.VolumeUsage{
		{Unit: csi.VolumeUsage_BYTES, Total: total, Used: total - free, Available: usable},
		{Unit: csi.VolumeUsage_INODES, Total: int64(disk.Files), Used: int64(disk.Files - disk.Ffree), Available: int64(disk.Ffree)},
	}}, nil
}

// claim finds a volume and holds it for the caller.
func (n *node) claim(id string) (item, func(), error) {
	release, err := n.hold(id)
	if err != nil {
		return item{}, nil, err
	}
	volume, err := n.volumes.find(id)
	if err != nil {
		release()
		return item{}, nil, answer(err)
	}
	return volume, release, nil
}

// mounted returns how the volume is mounted at path; that it is not is a NotFound, as the specification asks.
func (n *node) mounted(volume item, path string) (*mountinfo.Info, error) {
	found, err := mountAt(volume.Image, path)
	if err == nil && found == nil {
		return nil, status.Errorf(codes.NotFound, "volume %s is not mounted at %s", volume.ID, path)
	}
	return found, err
}

func (n *node) growAt(volume item, path string) error {
	found, err := n.mounted(volume, path)
	if err != nil {
		return err
	}
	return grow(found)
}
