package main

import (
	"context"
	"errors"

	"github.com/container-storage-interface/spec/lib/go/csi"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// controller creates, copies, grows and deletes volumes; snapshots.go holds its other half.
type controller struct {
	csi.UnimplementedControllerServer
	*driver
}

func (c *controller) ControllerGetCapabilities(context.Context, *csi.ControllerGetCapabilitiesRequest) (*csi.ControllerGetCapabilitiesResponse, error) {
	response := &csi.ControllerGetCapabilitiesResponse{}
	for _, kind := range []csi.ControllerServiceCapability_RPC_Type{
		csi.ControllerServiceCapability_RPC_CREATE_DELETE_VOLUME,
		csi.ControllerServiceCapability_RPC_LIST_VOLUMES,
		csi.ControllerServiceCapability_RPC_GET_CAPACITY,
		csi.ControllerServiceCapability_RPC_CREATE_DELETE_SNAPSHOT,
		csi.ControllerServiceCapability_RPC_LIST_SNAPSHOTS,
		csi.ControllerServiceCapability_RPC_CLONE_VOLUME,
		csi.ControllerServiceCapability_RPC_EXPAND_VOLUME,
		csi.ControllerServiceCapability_RPC_SINGLE_NODE_MULTI_WRITER,
	} {
		response.Capabilities = append(response.Capabilities, &csi.ControllerServiceCapability{
			Type: &csi.ControllerServiceCapability_Rpc{Rpc: &csi.ControllerServiceCapability_RPC{Type: kind}},
		})
	}
	return response, nil
}

func (c *controller) CreateVolume(_ context.Context, request *csi.CreateVolumeRequest) (*csi.CreateVolumeResponse, error) {
	if err := errors.Join(missing("name", request.GetName()), supported(request.GetVolumeCapabilities()...), known(request.GetParameters())); err != nil {
		return nil, status.Error(codes.InvalidArgument, err.Error())
	}
	if !c.reachable(request.GetAccessibilityRequirements().GetRequisite()...) {
		return nil, status.Errorf(codes.ResourceExhausted, "the volume must not be on %s, and that is the only node here", c.nodeID)
	}
	from, sourceID := c.source(request.GetVolumeContentSource())
	id := c.volumes.id(request.GetName())
	release, err := c.hold(id, sourceID)
	if err != nil {
		return nil, err
	}
	defer release()

	volume, err := c.volumes.find(id)
	switch {
	case errors.Is(err, errAbsent):
		volume, err = c.make(request, from, sourceID)
	case err == nil && (!fits(volume.Size, request.GetCapacityRange()) || volume.Source != sourceID):
		err = status.Errorf(codes.AlreadyExists, "volume %q exists with another size (%d MiB) or source (%q)", volume.Name, volume.Size/mebibyte, volume.Source)
	}
	if err != nil {
		return nil, answer(err)
	}
	return &csi.CreateVolumeResponse{Volume: c.describe(volume, request.GetVolumeContentSource())}, nil
}

func (c *controller) make(request *csi.CreateVolumeRequest, from *store, sourceID string) (item, error) {
	if from == nil {
		size, err := choose(request.GetCapacityRange(), smallest, usual)
		if err != nil {
			return item{}, err
		}
		return c.volumes.create(request.GetName(), "", func(image string) error {
			if err := c.reserve(image, size); err != nil {
				return err
			}
			return format(image)
		})
	}
	source, err := from.find(sourceID)
	if err != nil {
		return item{}, err
	}
	// The filesystem in a larger copy is grown when it is first mounted; XFS cannot do it earlier.
	size, err := choose(request.GetCapacityRange(), source.Size, source.Size)
	if err != nil {
		return item{}, err
	}
	return c.volumes.create(request.GetName(), sourceID, func(image string) error {
		if err := c.reserve(image, size); err != nil {
			return err
		}
		return frozen(source.Image, func() error { return copyImage(source.Image, image) })
	})
}

// source returns where the content of a new volume comes from: no store for an empty volume.
func (c *controller) source(content *csi.VolumeContentSource) (*store, string) {
	if snapshot := content.GetSnapshot(); snapshot != nil {
		return c.snapshots, snapshot.GetSnapshotId()
	}
	if volume := content.GetVolume(); volume != nil {
		return c.volumes, volume.GetVolumeId()
	}
	return nil, ""
}

func (c *controller) describe(volume item, content *csi.VolumeContentSource) *csi.Volume {
	return &csi.Volume{
		VolumeId:           volume.ID,
		CapacityBytes:      volume.Size,
		ContentSource:      content,
		AccessibleTopology: []*csi.Topology{c.topology()},
	}
}

func (c *controller) DeleteVolume(_ context.Context, request *csi.DeleteVolumeRequest) (*csi.DeleteVolumeResponse, error) {
	id := request.GetVolumeId()
	if err := missing("volume_id", id); err != nil {
		return nil, err
	}
	release, err := c.hold(id)
	if err != nil {
		return nil, err
	}
	defer release()
	// By its path alone: a volume with a damaged record can still be deleted.
	mounts, err := mountsOf(c.volumes.image(id))
	if err != nil {
		return nil, answer(err)
	}
	if len(mounts) > 0 {
		return nil, status.Errorf(codes.FailedPrecondition, "volume %s is in use: it is mounted at %s", id, mounts[0].Mountpoint)
	}
	if err := c.volumes.remove(id); err != nil {
		return nil, answer(err)
	}
	return &csi.DeleteVolumeResponse{}, nil
}

func (c *controller) ControllerExpandVolume(_ context.Context, request *csi.ControllerExpandVolumeRequest) (*csi.ControllerExpandVolumeResponse, error) {
	id := request.GetVolumeId()
	if err := missing("volume_id", id); err != nil {
		return nil, err
	}
	if request.GetCapacityRange() == nil {
		return nil, status.Error(codes.InvalidArgument, "capacity_range is missing")
	}
	release, err := c.hold(id)
	if err != nil {
		return nil, err
	}
	defer release()
	volume, err := c.volumes.find(id)
	if err != nil {
		return nil, answer(err)
	}
	size, err := choose(request.GetCapacityRange(), volume.Size, volume.Size)
	if err != nil {
		return nil, err
	}
	if err := c.reserve(volume.Image, size); err != nil {
		return nil, answer(err)
	}
	// Always: the call before this one may have been interrupted before the filesystem followed.
	return &csi.ControllerExpandVolumeResponse{CapacityBytes: size, NodeExpansionRequired: true}, nil
}

func (c *controller) ListVolumes(_ context.Context, request *csi.ListVolumesRequest) (*csi.ListVolumesResponse, error) {
	volumes, err := c.volumes.list()
	if err != nil {
		return nil, answer(err)
	}
	shown, next, err := page(volumes, request.GetStartingToken(), request.GetMaxEntries())
	if err != nil {
		return nil, err
	}
	response := &csi.ListVolumesResponse{NextToken: next}
	for _, volume := range shown {
		response.Entries = append(response.Entries, &csi.ListVolumesResponse_Entry{Volume: c.describe(volume, nil)})
	}
	return response, nil
}

func (c *controller) ValidateVolumeCapabilities(_ context.Context, request *csi.ValidateVolumeCapabilitiesRequest) (*csi.ValidateVolumeCapabilitiesResponse, error) {
	if err := missing("volume_id", request.GetVolumeId()); err != nil {
		return nil, err
	}
	if len(request.GetVolumeCapabilities()) == 0 {
		return nil, status.Error(codes.InvalidArgument, "volume_capabilities is missing")
	}
	if _, err := c.volumes.find(request.GetVolumeId()); err != nil {
		return nil, answer(err)
	}
	if err := errors.Join(supported(request.GetVolumeCapabilities()...), known(request.GetParameters())); err != nil {
		return &csi.ValidateVolumeCapabilitiesResponse{Message: err.Error()}, nil
	}
	return &csi.ValidateVolumeCapabilitiesResponse{Confirmed: &csi.ValidateVolumeCapabilitiesResponse_Confirmed{
		VolumeCapabilities: request.GetVolumeCapabilities(),
		Parameters:         request.GetParameters(),
	}}, nil
}

func (c *controller) GetCapacity(_ context.Context, request *csi.GetCapacityRequest) (*csi.GetCapacityResponse, error) {
	if topology := request.GetAccessibleTopology(); topology != nil && !c.reachable(topology) {
		return &csi.GetCapacityResponse{}, nil
	}
	if capabilities := request.GetVolumeCapabilities(); len(capabilities) > 0 && supported(capabilities...) != nil {
		return &csi.GetCapacityResponse{}, nil
	}
	available, err := c.available()
	if err != nil {
		return nil, answer(err)
	}
	return &csi.GetCapacityResponse{AvailableCapacity: available}, nil
}
