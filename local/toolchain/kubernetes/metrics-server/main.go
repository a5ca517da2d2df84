// metrics-server serves the resource metrics API (`kubectl top`, the autoscalers' CPU and memory) from the kubelets' readings.
//
// The server is sigs.k8s.io/metrics-server; only its command line is our own: upstream's sets a field that the Kubernetes
// libraries of the node no longer have, and a second set of those libraries would cost minutes of every cold build. The flags
// that both know have the same names and meanings.
package main

import (
	"errors"
	"fmt"
	"log"
	"net"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	corev1 "k8s.io/api/core/v1"
	openapinamer "k8s.io/apiserver/pkg/endpoints/openapi"
	genericapiserver "k8s.io/apiserver/pkg/server"
	genericoptions "k8s.io/apiserver/pkg/server/options"
	utilcompatibility "k8s.io/apiserver/pkg/util/compatibility"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/component-base/version"

	"sigs.k8s.io/metrics-server/pkg/api"
	generatedopenapi "sigs.k8s.io/metrics-server/pkg/api/generated/openapi"
	"sigs.k8s.io/metrics-server/pkg/scraper/client"
	"sigs.k8s.io/metrics-server/pkg/server"
)

// options is everything the command line decides.
type options struct {
	serving        *genericoptions.SecureServingOptionsWithLoopback
	authentication *genericoptions.DelegatingAuthenticationOptions
	authorization  *genericoptions.DelegatingAuthorizationOptions

	kubeconfig    string
	resolution    time.Duration
	timeout       time.Duration
	kubeletPort   int
	useStatusPort bool
	addressTypes  []string
	kubeletCA     string
	insecure      bool
}

func main() {
	chosen := &options{
		serving:        genericoptions.NewSecureServingOptions().WithLoopback(),
		authentication: genericoptions.NewDelegatingAuthenticationOptions(),
		authorization:  genericoptions.NewDelegatingAuthorizationOptions(),
	}
	command := &cobra.Command{
		Use:           "metrics-server",
		Short:         "Serve the resource metrics API from the kubelets' readings",
		Args:          cobra.NoArgs,
		SilenceUsage:  true,
		SilenceErrors: true,
		RunE:          func(*cobra.Command, []string) error { return chosen.run() },
	}
	chosen.addFlags(command.Flags())
	if err := command.Execute(); err != nil {
		log.Fatalf("metrics-server: %v", err)
	}
}

func (o *options) addFlags(flags *pflag.FlagSet) {
	flags.StringVar(&o.kubeconfig, "kubeconfig", "", "kubeconfig for the API server and the kubelets (default: the pod's service account)")
	flags.DurationVar(&o.resolution, "metric-resolution", time.Minute, "time between two scrapes, at least 10s")
	flags.DurationVar(&o.timeout, "kubelet-request-timeout", 10*time.Second, "how long one kubelet may take to answer")
	flags.IntVar(&o.kubeletPort, "kubelet-port", 10250, "port of the kubelets")
	flags.BoolVar(&o.useStatusPort, "kubelet-use-node-status-port", false, "take the port from the node's status instead")
	flags.StringSliceVar(&o.addressTypes, "kubelet-preferred-address-types",
		[]string{string(corev1.NodeHostName), string(corev1.NodeInternalDNS), string(corev1.NodeInternalIP), string(corev1.NodeExternalDNS), string(corev1.NodeExternalIP)},
		"kinds of node address, best first")
	flags.StringVar(&o.kubeletCA, "kubelet-certificate-authority", "", "file with the authority that signed the kubelets' certificates")
	flags.BoolVar(&o.insecure, "kubelet-insecure-tls", false, "do not verify the kubelets' certificates")
	o.serving.AddFlags(flags)
	o.authentication.AddFlags(flags)
	o.authorization.AddFlags(flags)
}

// run serves until SIGTERM, then finishes the requests under way.
func (o *options) run() error {
	if err := o.validate(); err != nil {
		return err
	}
	apiserver, err := o.apiserver()
	if err != nil {
		return err
	}
	credentials, err := o.credentials()
	if err != nil {
		return err
	}
	config := server.Config{
		Apiserver:        apiserver,
		Rest:             credentials,
		Kubelet:          o.kubelet(credentials),
		MetricResolution: o.resolution,
		ScrapeTimeout:    o.timeout,
	}
	completed, err := config.Complete()
	if err != nil {
		return err
	}
	return completed.RunUntil(genericapiserver.SetupSignalHandler())
}

func (o *options) validate() error {
	switch {
	case o.resolution < 10*time.Second:
		return fmt.Errorf("--metric-resolution: %v is below 10s", o.resolution)
	case o.timeout <= 0 || o.timeout > o.resolution*9/10:
		return fmt.Errorf("--kubelet-request-timeout: %v is not between 0 and nine tenths of --metric-resolution (%v)", o.timeout, o.resolution)
	case o.insecure && o.kubeletCA != "":
		return errors.New("--kubelet-insecure-tls and --kubelet-certificate-authority exclude each other")
	}
	return errors.Join(append(append(o.serving.Validate(), o.authentication.Validate()...), o.authorization.Validate()...)...)
}

func (o *options) apiserver() (*genericapiserver.Config, error) {
	if err := o.serving.MaybeDefaultWithSelfSignedCerts("localhost", nil, []net.IP{net.IPv4(127, 0, 0, 1)}); err != nil {
		return nil, fmt.Errorf("self-signed certificate: %w", err)
	}
	config := genericapiserver.NewConfig(api.Codecs)
	if err := o.serving.ApplyTo(&config.SecureServing, &config.LoopbackClientConfig); err != nil {
		return nil, err
	}
	if err := o.authentication.ApplyTo(&config.Authentication, config.SecureServing, nil); err != nil {
		return nil, err
	}
	if err := o.authorization.ApplyTo(&config.Authorization); err != nil {
		return nil, err
	}
	config.EffectiveVersion = utilcompatibility.DefaultBuildEffectiveVersion()
	definitions, namer := generatedopenapi.GetOpenAPIDefinitions, openapinamer.NewDefinitionNamer(api.Scheme)
	config.OpenAPIConfig = genericapiserver.DefaultOpenAPIConfig(definitions, namer)
	config.OpenAPIV3Config = genericapiserver.DefaultOpenAPIV3Config(definitions, namer)
	release, _, _ := strings.Cut(version.Get().GitVersion, "-")
	config.OpenAPIConfig.Info.Title, config.OpenAPIV3Config.Info.Title = "metrics-server", "metrics-server"
	config.OpenAPIConfig.Info.Version, config.OpenAPIV3Config.Info.Version = release, release
	return config, nil
}

func (o *options) credentials() (*rest.Config, error) {
	if o.kubeconfig == "" {
		return rest.InClusterConfig()
	}
	return clientcmd.BuildConfigFromFlags("", o.kubeconfig)
}

func (o *options) kubelet(credentials *rest.Config) *client.KubeletClientConfig {
	config := &client.KubeletClientConfig{
		Scheme:            "https",
		DefaultPort:       o.kubeletPort,
		UseNodeStatusPort: o.useStatusPort,
		Client:            *rest.CopyConfig(credentials),
	}
	for _, kind := range o.addressTypes {
		config.AddressTypePriority = append(config.AddressTypePriority, corev1.NodeAddressType(kind))
	}
	if o.insecure || o.kubeletCA != "" {
		config.Client.TLSClientConfig.CAData = nil
		config.Client.TLSClientConfig.CAFile = o.kubeletCA
		config.Client.TLSClientConfig.Insecure = o.insecure
	}
	return config
}
