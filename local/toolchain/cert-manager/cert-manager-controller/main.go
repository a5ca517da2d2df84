// cert-manager-controller issues certificates from authorities whose keys are in the cluster, and renews them.
//
// The controllers are cert-manager's; only the command line is our own: upstream's is in a module of its own that no module
// proxy serves, and brings the ACME, Vault and cloud DNS clients that nothing here uses. The flags that both know have the
// same names, defaults and meanings. This module's name lets it import cert-manager's packages.
package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
	"os/signal"
	"slices"
	"syscall"
	"time"

	"github.com/spf13/pflag"
	"golang.org/x/sync/errgroup"
	"k8s.io/client-go/tools/leaderelection"
	"k8s.io/client-go/tools/leaderelection/resourcelock"

	"github.com/cert-manager/cert-manager/pkg/controller"
	_ "github.com/cert-manager/cert-manager/pkg/controller/certificaterequests/approver"
	_ "github.com/cert-manager/cert-manager/pkg/controller/certificaterequests/ca"
	_ "github.com/cert-manager/cert-manager/pkg/controller/certificaterequests/selfsigned"
	_ "github.com/cert-manager/cert-manager/pkg/controller/certificates/issuing"
	_ "github.com/cert-manager/cert-manager/pkg/controller/certificates/keymanager"
	_ "github.com/cert-manager/cert-manager/pkg/controller/certificates/readiness"
	_ "github.com/cert-manager/cert-manager/pkg/controller/certificates/requestmanager"
	_ "github.com/cert-manager/cert-manager/pkg/controller/certificates/revisionmanager"
	_ "github.com/cert-manager/cert-manager/pkg/controller/certificates/trigger"
	_ "github.com/cert-manager/cert-manager/pkg/controller/clusterissuers"
	_ "github.com/cert-manager/cert-manager/pkg/controller/issuers"
	"github.com/cert-manager/cert-manager/pkg/healthz"
	_ "github.com/cert-manager/cert-manager/pkg/issuer/ca"
	_ "github.com/cert-manager/cert-manager/pkg/issuer/selfsigned"
	"github.com/cert-manager/cert-manager/pkg/logs"
)

const (
	workers     = 5
	metricsPort = ":9402"
	healthPort  = ":9403"
)

// options is everything the command line decides.
type options struct {
	kubeconfig        string
	clusterNamespace  string
	electionNamespace string
	controllers       []string
}

func main() {
	chosen := options{}
	flags := pflag.NewFlagSet("cert-manager-controller", pflag.ExitOnError)
	flags.StringVar(&chosen.kubeconfig, "kubeconfig", "", "kubeconfig for the API server (default: the pod's service account)")
	flags.StringVar(&chosen.clusterNamespace, "cluster-resource-namespace", "kube-system", "namespace of the Secrets that ClusterIssuers name")
	flags.StringVar(&chosen.electionNamespace, "leader-election-namespace", "kube-system", "namespace of the lease that only one instance holds")
	flags.StringSliceVar(&chosen.controllers, "controllers", known(), "names of the controllers to run")
	_ = flags.Parse(os.Args[1:]) // it exits by itself
	logs.InitLogs()
	defer logs.FlushLogs()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	if err := chosen.run(ctx); err != nil && !errors.Is(err, context.Canceled) {
		log.Fatalf("cert-manager-controller: %v", err)
	}
}

func known() []string {
	var names []string
	for name := range controller.Known() {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// run serves metrics and health at once, and the controllers while it holds the lease, until the context ends or anything fails.
func (o options) run(outer context.Context) error {
	for _, name := range o.controllers {
		if controller.Known()[name] == nil {
			return fmt.Errorf("--controllers: %q is not one of %q", name, known())
		}
	}
	group, ctx := errgroup.WithContext(outer)
	factory, err := controller.NewContextFactory(ctx, controller.ContextOptions{
		Kubeconfig:         o.kubeconfig,
		KubernetesAPIQPS:   20,
		KubernetesAPIBurst: 50,
		IssuerOptions:      controller.IssuerOptions{ClusterResourceNamespace: o.clusterNamespace},
		CertificateOptions: controller.CertificateOptions{
			CopiedAnnotationPrefixes:                 []string{"*", "-kubectl.kubernetes.io/", "-fluxcd.io/", "-argocd.argoproj.io/"},
			CertificateRequestMinimumBackoffDuration: time.Hour,
			CertificateRequestMaximumBackoffDuration: 32 * time.Hour,
		},
	})
	if err != nil {
		return err
	}
	base, err := factory.Build()
	if err != nil {
		return err
	}
	objects := base.SharedInformerFactory.Certmanager().V1()
	base.Metrics.SetupCertificateCollector(objects.Certificates().Lister())
	base.Metrics.SetupIssuerCollector(objects.Issuers().Lister())
	base.Metrics.SetupClusterIssuerCollector(objects.ClusterIssuers().Lister())

	metrics, err := net.Listen("tcp", metricsPort)
	if err != nil {
		return err
	}
	serveMetrics(ctx, group, base.Metrics.NewServer(metrics), metrics)
	alive, err := net.Listen("tcp", healthPort)
	if err != nil {
		return err
	}
	health := healthz.NewServer(20 * time.Second)
	group.Go(func() error { return health.Start(ctx, alive) })

	elected := make(chan struct{})
	elector, err := o.elector(base, health.LeaderHealthzAdaptor, func(context.Context) { close(elected) })
	if err != nil {
		return err
	}
	group.Go(func() error {
		elector.Run(ctx)
		if ctx.Err() == nil {
			return errors.New("the lease was lost")
		}
		return nil
	})
	select {
	case <-ctx.Done():
		return group.Wait()
	case <-elected:
	}
	for _, name := range o.controllers {
		one, err := controller.Known()[name](factory)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		group.Go(func() error { return one.Run(workers, ctx) })
	}
	base.SharedInformerFactory.Start(ctx.Done())
	base.KubeSharedInformerFactory.Start(ctx.Done())
	return group.Wait()
}

func serveMetrics(ctx context.Context, group *errgroup.Group, server *http.Server, listener net.Listener) {
	group.Go(func() error {
		if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			return err
		}
		return nil
	})
	group.Go(func() error {
		<-ctx.Done()
		return server.Close()
	})
}

// elector holds the lease under upstream's name with upstream's times, and gives it back when told to stop.
func (o options) elector(base *controller.Context, health *leaderelection.HealthzAdaptor, started func(context.Context)) (*leaderelection.LeaderElector, error) {
	host, err := os.Hostname()
	if err != nil {
		return nil, err
	}
	lock, err := resourcelock.New(resourcelock.LeasesResourceLock, o.electionNamespace, "cert-manager-controller",
		base.Client.CoreV1(), base.Client.CoordinationV1(),
		resourcelock.ResourceLockConfig{Identity: host + "-external-cert-manager-controller", EventRecorder: base.Recorder})
	if err != nil {
		return nil, err
	}
	return leaderelection.NewLeaderElector(leaderelection.LeaderElectionConfig{
		Lock:            lock,
		LeaseDuration:   60 * time.Second,
		RenewDeadline:   40 * time.Second,
		RetryPeriod:     15 * time.Second,
		ReleaseOnCancel: true,
		Callbacks:       leaderelection.LeaderCallbacks{OnStartedLeading: started, OnStoppedLeading: func() {}},
		WatchDog:        health,
	})
}
