package main

import (
	"strings"

	"github.com/container-storage-interface/spec/lib/go/csi"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

const (
	usual     = 1024 * mebibyte // for whoever names no size
	blockSize = 4096
)

// known refuses parameters of a StorageClass that would have no effect, but for those that the sidecars add.
func known(parameters map[string]string) error {
	for name := range parameters {
		if !strings.HasPrefix(name, "csi.storage.k8s.io/") {
			return status.Errorf(codes.InvalidArgument, "parameter %q is unknown", name)
		}
	}
	return nil
}

// choose returns a size within the range, in whole blocks: at least minimum, and preferred if the range names no size.
func choose(wanted *csi.CapacityRange, minimum, preferred int64) (int64, error) {
	required, limit := wanted.GetRequiredBytes(), wanted.GetLimitBytes()
	if required < 0 || limit < 0 || (limit > 0 && limit < required) {
		return 0, status.Errorf(codes.InvalidArgument, "capacity_range: required %d, limit %d", required, limit)
	}
	if required == 0 {
		required = preferred
		if limit > 0 {
			required = min(preferred, limit)
		}
	}
	size := (max(required, minimum) + blockSize - 1) / blockSize * blockSize
	if limit > 0 && size > limit {
		return 0, status.Errorf(codes.OutOfRange, "capacity_range: the limit is %d, and at least %d is needed", limit, size)
	}
	return size, nil
}

// fits tells whether an existing volume's size answers the request.
func fits(size int64, wanted *csi.CapacityRange) bool {
	return size >= wanted.GetRequiredBytes() && (wanted.GetLimitBytes() == 0 || size <= wanted.GetLimitBytes())
}

// page returns at most limit items (0: all) that come after the one named by token, and the token for the next page.
func page(items []item, token string, limit int32) ([]item, string, error) {
	if limit < 0 {
		return nil, "", status.Errorf(codes.InvalidArgument, "max_entries: %d is negative", limit)
	}
	if token != "" && !validID.MatchString(token) {
		return nil, "", status.Errorf(codes.Aborted, "starting_token: %q was not given out by this driver", token)
	}
	for len(items) > 0 && items[0].ID <= token {
		items = items[1:]
	}
	if limit > 0 && len(items) > int(limit) {
		return items[:limit], items[limit-1].ID, nil
	}
	return items, "", nil
}

// missing names the first required field that is empty; fields are name, value, name, value.
func missing(fields ...string) error {
	for i := 0; i < len(fields); i += 2 {
		if fields[i+1] == "" {
			return status.Errorf(codes.InvalidArgument, "%s is missing", fields[i])
		}
	}
	return nil
}

// supported refuses what a filesystem on one node cannot be.
func supported(capabilities ...*csi.VolumeCapability) error {
	if len(capabilities) == 0 {
		return status.Error(codes.InvalidArgument, "volume capability is missing")
	}
	for _, capability := range capabilities {
		if capability.GetMount() == nil {
			return status.Error(codes.InvalidArgument, "volume mode: only Filesystem is supported")
		}
		if kind := capability.GetMount().GetFsType(); kind != "" && kind != "xfs" {
			return status.Errorf(codes.InvalidArgument, "fsType: %q is not xfs", kind)
		}
		switch capability.GetAccessMode().GetMode() {
		case csi.VolumeCapability_AccessMode_SINGLE_NODE_WRITER,
			csi.VolumeCapability_AccessMode_SINGLE_NODE_READER_ONLY,
			csi.VolumeCapability_AccessMode_SINGLE_NODE_SINGLE_WRITER,
			csi.VolumeCapability_AccessMode_SINGLE_NODE_MULTI_WRITER:
		default:
			return status.Errorf(codes.InvalidArgument, "access mode: %s is not for one node", capability.GetAccessMode().GetMode())
		}
	}
	return nil
}
