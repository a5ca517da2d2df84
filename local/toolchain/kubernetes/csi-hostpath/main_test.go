package main

import (
	"context"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/container-storage-interface/spec/lib/go/csi"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// TestMain lets the tests start the driver as a process of its own, which they can kill.
func TestMain(m *testing.M) {
	if directory := os.Getenv("TEST_SERVE"); directory != "" {
		ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT)
		defer stop()
		if err := run(ctx, flagsFor(directory)); err != nil {
			panic(err)
		}
		return
	}
	os.Exit(m.Run())
}

func flagsFor(directory string) flags {
	return flags{
		endpoint:        "unix://" + filepath.Join(directory, "csi.sock"),
		registrationDir: filepath.Join(directory, "registry"),
		nodeID:          "test-node",
		dataDir:         filepath.Join(directory, "data"),
	}
}

// opened is a driver on the directory, and its two services.
func opened(t *testing.T, directory string) (*controller, *node) {
	t.Helper()
	shared, err := open(filepath.Join(directory, "data"), "test-node")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(shared.close)
	return &controller{driver: shared}, &node{driver: shared}
}

func needRoot(t *testing.T) {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("only root may mount")
	}
}

var oneWriter = &csi.VolumeCapability{
	AccessType: &csi.VolumeCapability_Mount{Mount: &csi.VolumeCapability_MountVolume{}},
	AccessMode: &csi.VolumeCapability_AccessMode{Mode: csi.VolumeCapability_AccessMode_SINGLE_NODE_WRITER},
}

func wanted(name string, size int64) *csi.CreateVolumeRequest {
	return &csi.CreateVolumeRequest{
		Name:               name,
		CapacityRange:      &csi.CapacityRange{RequiredBytes: size},
		VolumeCapabilities: []*csi.VolumeCapability{oneWriter},
	}
}

// must fails the test if the call did.
func must[T any](t *testing.T) func(response T, err error) T {
	return func(response T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return response
	}
}

func created(t *testing.T, c *controller, request *csi.CreateVolumeRequest) *csi.Volume {
	t.Helper()
	return must[*csi.CreateVolumeResponse](t)(c.CreateVolume(t.Context(), request)).GetVolume()
}

// refused fails the test unless the error has the code and says all the words.
func refused(t *testing.T, err error, code codes.Code, words ...string) {
	t.Helper()
	if status.Code(err) != code {
		t.Fatalf("got %v, want %s", err, code)
	}
	for _, word := range words {
		if !strings.Contains(err.Error(), word) {
			t.Fatalf("%q does not say %q", err, word)
		}
	}
}

// nothingHidden fails the test if something incomplete is left.
func nothingHidden(t *testing.T, directory string) {
	t.Helper()
	left, err := filepath.Glob(filepath.Join(directory, "data", "*", ".*"))
	if err != nil || len(left) > 0 {
		t.Fatalf("left over: %v (%v)", left, err)
	}
}
