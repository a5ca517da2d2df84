package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/container-storage-interface/spec/lib/go/csi"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	registration "k8s.io/kubelet/pkg/apis/pluginregistration/v1"
)

// process is the driver in a process of its own.
type process struct {
	command    *exec.Cmd
	connection *grpc.ClientConn
	csi.ControllerClient
	csi.NodeClient
}

func started(t *testing.T, directory string) *process {
	t.Helper()
	command := exec.Command(os.Args[0])
	command.Env = append(os.Environ(), "TEST_SERVE="+directory)
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	connection := dial(t, filepath.Join(directory, "csi.sock"))
	return &process{command, connection, csi.NewControllerClient(connection), csi.NewNodeClient(connection)}
}

func dial(t *testing.T, socket string) *grpc.ClientConn {
	t.Helper()
	connection, err := grpc.NewClient("unix://"+socket,
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.WaitForReady(true)),
		grpc.WithConnectParams(grpc.ConnectParams{MinConnectTimeout: time.Second}))
	if err != nil {
		t.Fatal(err)
	}
	return connection
}

func (p *process) kill(t *testing.T) {
	t.Helper()
	if err := p.command.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = p.command.Wait() // "signal: killed" is what was wanted
	p.connection.Close()
}

// TestKilledAtAnyMoment kills the driver during a creation, a snapshot of a volume in use, a growth and a deletion, each time a
// little later; the next driver finds everything whole, and the repeated calls give what the first would have given.
func TestKilledAtAnyMoment(t *testing.T) {
	needRoot(t)
	directory := t.TempDir()
	place := filepath.Join(directory, "staging")
	driver := started(t, directory)
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	base := must[*csi.CreateVolumeResponse](t)(driver.CreateVolume(ctx, wanted("base", smallest))).GetVolume()
	must[*csi.NodeStageVolumeResponse](t)(driver.NodeStageVolume(ctx, &csi.NodeStageVolumeRequest{
		VolumeId: base.GetVolumeId(), StagingTargetPath: place, VolumeCapability: oneWriter,
	}))
	t.Cleanup(func() {
		if err := unmount(place); err != nil {
			t.Error(err)
		}
	})
	write(t, filepath.Join(place, "file"), make([]byte, 40*mebibyte))

	for round := range 12 {
		name := fmt.Sprint("round-", round)
		doomed := must[*csi.CreateVolumeResponse](t)(driver.CreateVolume(ctx, wanted("doomed-"+name, smallest))).GetVolume()
		snapshot := &csi.CreateSnapshotRequest{Name: name, SourceVolumeId: base.GetVolumeId()}
		growth := &csi.ControllerExpandVolumeRequest{
			VolumeId: base.GetVolumeId(), CapacityRange: &csi.CapacityRange{RequiredBytes: smallest + int64(round)*mebibyte},
		}
		deletion := &csi.DeleteVolumeRequest{VolumeId: doomed.GetVolumeId()}
		calls, stop := context.WithCancel(ctx)
		go func() { _, _ = driver.CreateVolume(calls, wanted(name, smallest)) }()
		go func() { _, _ = driver.DeleteVolume(calls, deletion) }()
		go func() {
			_, _ = driver.ControllerExpandVolume(calls, growth)
			_, _ = driver.CreateSnapshot(calls, snapshot)
		}()
		<-time.After(time.Duration(round) * 8 * time.Millisecond) // the moment is what the test varies
		driver.kill(t)
		stop()

		driver = started(t, directory)
		must[*csi.ListVolumesResponse](t)(driver.ListVolumes(ctx, &csi.ListVolumesRequest{}))
		must[*csi.ListSnapshotsResponse](t)(driver.ListSnapshots(ctx, &csi.ListSnapshotsRequest{}))
		nothingHidden(t, directory)
		// Hangs for ever if the killed driver's freeze outlived it.
		write(t, filepath.Join(place, "proof"), []byte(name))
		must[*csi.CreateVolumeResponse](t)(driver.CreateVolume(ctx, wanted(name, smallest)))
		must[*csi.DeleteVolumeResponse](t)(driver.DeleteVolume(ctx, deletion))
		grown := must[*csi.ControllerExpandVolumeResponse](t)(driver.ControllerExpandVolume(ctx, growth))
		if grown.GetCapacityBytes() != growth.GetCapacityRange().GetRequiredBytes() {
			t.Fatal(grown)
		}
		taken := must[*csi.CreateSnapshotResponse](t)(driver.CreateSnapshot(ctx, snapshot)).GetSnapshot()
		if taken.GetSizeBytes() != grown.GetCapacityBytes() {
			t.Fatalf("round %d: a snapshot of %d bytes of a volume of %d", round, taken.GetSizeBytes(), grown.GetCapacityBytes())
		}
		must[*csi.DeleteSnapshotResponse](t)(driver.DeleteSnapshot(ctx, &csi.DeleteSnapshotRequest{SnapshotId: taken.GetSnapshotId()}))
	}
	driver.kill(t)
}

func TestStopsWhenToldAndTellsTheKubeletWhereItIs(t *testing.T) {
	directory := t.TempDir()
	driver := started(t, directory)
	kubelet := dial(t, filepath.Join(directory, "registry", driverName+"-reg.sock"))
	defer kubelet.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	client := registration.NewRegistrationClient(kubelet)
	info := must[*registration.PluginInfo](t)(client.GetInfo(ctx, &registration.InfoRequest{}))
	if info.GetName() != driverName || info.GetType() != registration.CSIPlugin || info.GetEndpoint() != filepath.Join(directory, "csi.sock") {
		t.Fatal(info)
	}
	must[*registration.RegistrationStatusResponse](t)(client.NotifyRegistrationStatus(ctx, &registration.RegistrationStatus{PluginRegistered: true}))
	socket, err := os.Stat(info.GetEndpoint())
	if err != nil || socket.Mode().Perm()&0o077 != 0 {
		t.Fatal(socket, err)
	}
	if err := driver.command.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if err := driver.command.Wait(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(info.GetEndpoint()); !os.IsNotExist(err) {
		t.Fatal("the socket is still there", err)
	}
}
