package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/moby/sys/mountinfo"
	"golang.org/x/sys/unix"
)

const (
	mebibyte = 1 << 20
	// mkfs.xfs refuses less.
	smallest = 300 * mebibyte

	ioctlFreeze = 0xc0045877 // FIFREEZE and FITHAW of linux/fs.h, which x/sys does not name
	ioctlThaw   = 0xc0045878
)

// format puts an empty filesystem into the image.
func format(image string) error {
	return command("mkfs.xfs", "-q", "-f", image)
}

// mount shows the image's filesystem at target. The loop device goes away with the mount.
func mount(image, target string, options []string) error {
	// nouuid: a restored volume has its origin's UUID, and XFS would refuse to mount both.
	options = append([]string{"loop", "nouuid", "nodev", "nosuid"}, options...)
	return command("mount", "-t", "xfs", "-o", strings.Join(options, ","), image, target)
}

// bind shows the mounted directory source at target as well. It can be repeated.
func bind(source, target string, readonly bool) error {
	mounted, err := mountinfo.Mounted(target)
	if err != nil {
		return err
	}
	if !mounted {
		if err := unix.Mount(source, target, "", unix.MS_BIND, ""); err != nil {
			return fmt.Errorf("bind %s to %s: %w", source, target, err)
		}
	}
	if !readonly {
		return nil
	}
	// The kernel ignores MS_RDONLY in the first of the two calls.
	if err := unix.Mount("", target, "", unix.MS_REMOUNT|unix.MS_BIND|unix.MS_RDONLY|unix.MS_NODEV|unix.MS_NOSUID, ""); err != nil {
		return fmt.Errorf("remount %s read-only: %w", target, err)
	}
	return nil
}

// unmount leaves nothing mounted at target, however often it was mounted over.
func unmount(target string) error {
	for {
		mounted, err := mountinfo.Mounted(target)
		if errors.Is(err, os.ErrNotExist) || (err == nil && !mounted) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := unix.Unmount(target, unix.UMOUNT_NOFOLLOW); err != nil {
			return fmt.Errorf("unmount %s: %w", target, err)
		}
	}
}

// mountsOf returns every place where the image's filesystem is mounted. The kernel is asked, so that it holds after a restart too.
func mountsOf(image string) ([]*mountinfo.Info, error) {
	return mountinfo.GetMounts(func(mount *mountinfo.Info) (skip, stop bool) {
		return mount.FSType != "xfs" || backing(mount) != image, false
	})
}

// mountAt returns how the image is mounted at target, or nil if it is not.
func mountAt(image, target string) (*mountinfo.Info, error) {
	mounts, err := mountsOf(image)
	if err != nil {
		return nil, err
	}
	for _, mount := range mounts {
		if mount.Mountpoint == resolved(target) {
			return mount, nil
		}
	}
	return nil, nil
}

// resolved is the path as the kernel names it.
func resolved(path string) string {
	if actual, err := filepath.EvalSymlinks(path); err == nil {
		return actual
	}
	return filepath.Clean(path)
}

// backing returns the file behind the loop device that is mounted, and nothing for any other device.
func backing(mount *mountinfo.Info) string {
	content, err := os.ReadFile(fmt.Sprintf("/sys/dev/block/%d:%d/loop/backing_file", mount.Major, mount.Minor))
	if err != nil {
		return ""
	}
	return strings.TrimSuffix(string(content), "\n")
}

// grow makes the mounted filesystem as large as its image. It can be repeated.
func grow(mount *mountinfo.Info) error {
	device, err := os.OpenFile(mount.Source, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer device.Close()
	if err := unix.IoctlSetInt(int(device.Fd()), unix.LOOP_SET_CAPACITY, 0); err != nil {
		return fmt.Errorf("%s: new capacity: %w", device.Name(), err)
	}
	return command("xfs_growfs", "-d", mount.Mountpoint)
}

// frozen runs work while the image's filesystem, if it is mounted, is consistent on disk and its writers wait.
func frozen(image string, work func() error) error {
	mounts, err := mountsOf(image)
	if err != nil {
		return err
	}
	if len(mounts) == 0 {
		return work()
	}
	directory, err := os.Open(mounts[0].Mountpoint)
	if err != nil {
		return err
	}
	defer directory.Close()
	if err := unix.IoctlSetInt(int(directory.Fd()), ioctlFreeze, 0); err != nil {
		return fmt.Errorf("freeze %s: %w", directory.Name(), err)
	}
	err = work()
	if thawed := unix.IoctlSetInt(int(directory.Fd()), ioctlThaw, 0); thawed != nil {
		err = errors.Join(err, fmt.Errorf("thaw %s: %w", directory.Name(), thawed))
	}
	return err
}

// thaw releases the image's filesystem if a driver that was killed left it frozen.
func thaw(image string) error {
	mounts, err := mountsOf(image)
	if err != nil || len(mounts) == 0 {
		return err
	}
	directory, err := os.Open(mounts[0].Mountpoint)
	if err != nil {
		return err
	}
	defer directory.Close()
	// EINVAL: it is not frozen.
	if err := unix.IoctlSetInt(int(directory.Fd()), ioctlThaw, 0); err != nil && !errors.Is(err, unix.EINVAL) {
		return fmt.Errorf("thaw %s: %w", directory.Name(), err)
	}
	return nil
}

// makeSparse makes a file of size bytes that takes no space yet.
func makeSparse(path string, size int64) error {
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	return errors.Join(file.Truncate(size), file.Close())
}

// copyImage copies from's content to the beginning of the file to, and leaves holes where from has them. Where the disk can share
// blocks (XFS, btrfs) it takes no time and no space.
func copyImage(from, to string) error {
	source, err := os.Open(from)
	if err != nil {
		return err
	}
	defer source.Close()
	target, err := os.OpenFile(to, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	defer target.Close()
	in, out := int(source.Fd()), int(target.Fd())
	if unix.IoctlFileClone(out, in) == nil {
		return nil
	}
	for offset := int64(0); ; {
		start, err := unix.Seek(in, offset, unix.SEEK_DATA)
		if errors.Is(err, unix.ENXIO) {
			return nil // nothing but a hole to the end
		}
		if err != nil {
			return fmt.Errorf("%s: %w", from, err)
		}
		if offset, err = unix.Seek(in, start, unix.SEEK_HOLE); err != nil {
			return fmt.Errorf("%s: %w", from, err)
		}
		for read, write := start, start; read < offset; {
			if copied, err := unix.CopyFileRange(in, &read, out, &write, int(min(offset-read, 64*mebibyte)), 0); err != nil {
				return fmt.Errorf("copy %s to %s: %w", from, to, err)
			} else if copied == 0 {
				return fmt.Errorf("copy %s to %s: the source has become shorter", from, to)
			}
		}
	}
}

func command(name string, arguments ...string) error {
	output, err := exec.Command(name, arguments...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s %s: %w: %s", name, strings.Join(arguments, " "), err, strings.TrimSpace(string(output)))
	}
	return nil
}
