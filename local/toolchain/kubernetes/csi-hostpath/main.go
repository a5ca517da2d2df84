// csi-hostpath is a CSI driver for one node: each volume is an XFS filesystem in a sparse file, mounted through a loop device.
//
// A volume's size is real: a full one gives ENOSPC to its own pods and to nobody else, and it grows while in use. Snapshots and
// clones are consistent copies. Volumes together are never promised more than the disk holds. Everything survives a kill or a
// power cut at any point: the call that was interrupted is repeated and gives the same result.
//
// XFS and not ext4, because ext4 lets only holders of CAP_SYS_RESOURCE grow a mounted filesystem, and containers and small virtual
// machines often lack it.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/container-storage-interface/spec/lib/go/csi"
	"golang.org/x/sys/unix"
	"google.golang.org/grpc"
	"google.golang.org/grpc/status"
	registration "k8s.io/kubelet/pkg/apis/pluginregistration/v1"
)

const (
	driverName    = "hostpath.csi.platform"
	driverVersion = "0.1.0"
)

// flags is everything the command line decides.
type flags struct {
	endpoint, registrationDir, nodeID, dataDir string
}

func main() {
	var chosen flags
	flag.StringVar(&chosen.endpoint, "endpoint", "", "socket to serve CSI on, unix:///PATH")
	flag.StringVar(&chosen.registrationDir, "registration-dir", "", "the kubelet's plugins_registry; empty: do not register")
	flag.StringVar(&chosen.nodeID, "node-id", "", "name of this node")
	flag.StringVar(&chosen.dataDir, "data-dir", "", "directory for volumes and snapshots")
	flag.Parse()
	slog.SetDefault(slog.New(slog.NewJSONHandler(os.Stderr, nil)))
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	if err := run(ctx, chosen); err != nil {
		slog.Error("stopped", "error", err)
		os.Exit(1)
	}
}

// run serves until ctx ends, then finishes the calls under way: one of them may hold a filesystem frozen.
func run(ctx context.Context, chosen flags) error {
	socket, isUnix := strings.CutPrefix(chosen.endpoint, "unix://")
	switch {
	case !isUnix || !filepath.IsAbs(socket):
		return fmt.Errorf("--endpoint: %q is not unix:///PATH", chosen.endpoint)
	case chosen.nodeID == "":
		return errors.New("--node-id is missing")
	case !filepath.IsAbs(chosen.dataDir):
		return fmt.Errorf("--data-dir: %q is not an absolute path", chosen.dataDir)
	}
	shared, err := open(chosen.dataDir, chosen.nodeID)
	if err != nil {
		return fmt.Errorf("--data-dir: %w", err)
	}
	defer shared.close()

	server := grpc.NewServer(grpc.UnaryInterceptor(logged))
	csi.RegisterIdentityServer(server, &identity{})
	csi.RegisterControllerServer(server, &controller{driver: shared})
	csi.RegisterNodeServer(server, &node{driver: shared})
	servers := map[string]*grpc.Server{socket: server}
	order := []string{socket}
	if chosen.registrationDir != "" {
		// Second: the kubelet calls the CSI socket as soon as it sees this one.
		register := grpc.NewServer(grpc.UnaryInterceptor(logged))
		registration.RegisterRegistrationServer(register, &registrar{socket: socket})
		place := filepath.Join(chosen.registrationDir, driverName+"-reg.sock")
		servers[place] = register
		order = append(order, place)
	}

	failed := make(chan error, len(order))
	for _, place := range order {
		listener, err := listen(place)
		if err != nil {
			return err
		}
		go func() { failed <- servers[place].Serve(listener) }()
	}
	slog.Info("serving", "driver", driverName, "endpoint", chosen.endpoint, "data", chosen.dataDir)
	select {
	case err = <-failed:
	case <-ctx.Done():
	}
	for _, server := range servers {
		server.GracefulStop()
	}
	slog.Info("all calls finished")
	return err
}

// listen makes a socket that only root may connect to, in place of one that a killed driver left behind.
func listen(socket string) (net.Listener, error) {
	if err := os.MkdirAll(filepath.Dir(socket), 0o750); err != nil {
		return nil, err
	}
	if err := os.Remove(socket); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	defer unix.Umask(unix.Umask(0o077))
	return net.Listen("unix", socket)
}

// quiet are the calls that come every few seconds and change nothing; only their failures are logged.
var quiet = []string{"Probe", "Get", "List", "ControllerGet", "NodeGet"}

func logged(ctx context.Context, request any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
	started := time.Now()
	response, err := handler(ctx, request)
	method := info.FullMethod[strings.LastIndex(info.FullMethod, "/")+1:]
	// Names and IDs only: a request may carry secrets.
	fields := []any{"call", method, "took", time.Since(started).Round(time.Millisecond).String()}
	if named, ok := request.(interface{ GetName() string }); ok {
		fields = append(fields, "name", named.GetName())
	}
	if volume, ok := request.(interface{ GetVolumeId() string }); ok {
		fields = append(fields, "volume", volume.GetVolumeId())
	}
	if err != nil {
		slog.Warn("refused", append(fields, "code", status.Code(err).String(), "error", err)...)
		return response, err
	}
	for _, prefix := range quiet {
		if strings.HasPrefix(method, prefix) {
			return response, nil
		}
	}
	slog.Info("done", fields...)
	return response, nil
}
