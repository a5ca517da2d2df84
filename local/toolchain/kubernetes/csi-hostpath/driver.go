package main

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync"

	"github.com/container-storage-interface/spec/lib/go/csi"
	"golang.org/x/sys/unix"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

const topologyKey = "topology.hostpath.csi.platform/node"

// driver is what the controller and the node service share.
type driver struct {
	nodeID             string
	root               *os.File // locked: a second driver on the same data would undo what this one does
	volumes, snapshots *store

	space sync.Mutex // held from looking for free space until it is promised
	mutex sync.Mutex // guards busy
	busy  map[string]bool
}

// open takes over the data of a driver that ran before, however it ended.
func open(dataDir, nodeID string) (*driver, error) {
	if err := os.MkdirAll(dataDir, 0o700); err != nil {
		return nil, err
	}
	// The kernel reports images by their real path.
	actual, err := filepath.EvalSymlinks(dataDir)
	if err != nil {
		return nil, err
	}
	root, err := os.Open(actual)
	if err != nil {
		return nil, err
	}
	opened := &driver{nodeID: nodeID, root: root, busy: map[string]bool{}}
	if err := opened.recover(); err != nil {
		return nil, errors.Join(err, root.Close())
	}
	return opened, nil
}

func (d *driver) recover() (err error) {
	if err := unix.Flock(int(d.root.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return fmt.Errorf("%s is in use by another driver: %w", d.root.Name(), err)
	}
	if d.volumes, err = openStore(filepath.Join(d.root.Name(), "volumes"), "volume"); err != nil {
		return err
	}
	if d.snapshots, err = openStore(filepath.Join(d.root.Name(), "snapshots"), "snapshot"); err != nil {
		return err
	}
	images, err := filepath.Glob(filepath.Join(d.volumes.root, "*", imageFile))
	if err != nil {
		return err
	}
	for _, image := range images {
		if err := thaw(image); err != nil {
			return err
		}
	}
	for _, kept := range []*store{d.volumes, d.snapshots} {
		if _, err := kept.list(); err != nil {
			slog.Error("the rest is served", "error", err)
		}
	}
	return nil
}

func (d *driver) close() {
	if err := d.root.Close(); err != nil {
		slog.Error("close", "error", err)
	}
}

// hold reserves the volumes and snapshots for one call. What takes longer than the caller waits goes on; a repeated call is told
// so, and finds the result when it is there.
func (d *driver) hold(ids ...string) (release func(), err error) {
	d.mutex.Lock()
	defer d.mutex.Unlock()
	ids = slices.DeleteFunc(ids, func(id string) bool { return id == "" })
	for _, id := range ids {
		if d.busy[id] {
			return nil, status.Errorf(codes.Aborted, "%s: another call is at work on it", id)
		}
	}
	for _, id := range ids {
		d.busy[id] = true
	}
	return func() {
		d.mutex.Lock()
		defer d.mutex.Unlock()
		for _, id := range ids {
			delete(d.busy, id)
		}
	}, nil
}

// available is the free space on the disk that no volume has been promised.
func (d *driver) available() (int64, error) {
	var disk unix.Statfs_t
	if err := unix.Fstatfs(int(d.root.Fd()), &disk); err != nil {
		return 0, err
	}
	promised, err := d.volumes.promised()
	return max(0, int64(disk.Bavail)*disk.Bsize-promised), err
}

// reserve makes the image, or makes it larger, to size bytes. It takes none of them from the disk yet but promises them all.
func (d *driver) reserve(image string, size int64) error {
	d.space.Lock()
	defer d.space.Unlock()
	var before int64
	if existing, err := os.Stat(image); err == nil {
		before = existing.Size()
	} else if !errors.Is(err, os.ErrNotExist) {
		return err
	}
	available, err := d.available()
	if err != nil {
		return err
	}
	if wanted := size - before; wanted > available {
		return fmt.Errorf("%s: %d MiB more are needed, %d MiB are not promised to other volumes: %w",
			d.root.Name(), wanted/mebibyte, available/mebibyte, unix.ENOSPC)
	}
	return errors.Join(makeSparse(image, size), flush(image))
}

func (d *driver) topology() *csi.Topology {
	return &csi.Topology{Segments: map[string]string{topologyKey: d.nodeID}}
}

// reachable tells whether one of the topologies, of which none means any, is this node.
func (d *driver) reachable(topologies ...*csi.Topology) bool {
	for _, topology := range topologies {
		if topology.GetSegments()[topologyKey] == d.nodeID {
			return true
		}
	}
	return len(topologies) == 0
}

// answer turns an error into the code that tells the caller what to do about it.
func answer(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, errAbsent):
		return status.Error(codes.NotFound, err.Error())
	case errors.Is(err, unix.ENOSPC):
		return status.Error(codes.ResourceExhausted, err.Error())
	}
	if _, already := status.FromError(err); already {
		return err
	}
	return status.Error(codes.Internal, err.Error())
}
