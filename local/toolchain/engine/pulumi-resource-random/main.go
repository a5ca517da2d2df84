// Command pulumi-resource-random serves the random provider to the Pulumi engine.
//
// The official plugin is only published as a download, so this one bridges the same upstream provider with the
// same bridge. Its schema and metadata are data files beside the executable, written once at build time by
// "pulumi-resource-random generate DIRECTORY".
package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	pf "github.com/pulumi/pulumi-terraform-bridge/v3/pkg/pf/tfbridge"
	pfgen "github.com/pulumi/pulumi-terraform-bridge/v3/pkg/pf/tfgen"
	"github.com/pulumi/pulumi-terraform-bridge/v3/pkg/tfbridge"
	"github.com/pulumi/pulumi-terraform-bridge/v3/pkg/tfbridge/tokens"
	"github.com/terraform-providers/terraform-provider-random/shim"
)

const (
	schemaFile   = "schema.json"
	metadataFile = "bridge-metadata.json"
)

// version is that of the Python package whose calls this plugin answers; the build sets it.
var version = "0.0.0"

func provider(metadata []byte) tfbridge.ProviderInfo {
	info := tfbridge.ProviderInfo{
		P:            pf.ShimProvider(shim.NewProvider()),
		Name:         "random",
		Version:      version,
		MetadataInfo: tfbridge.NewProviderMetadata(metadata),
		Resources: map[string]*tfbridge.ResourceInfo{
			// Upstream calls these two after the value, Pulumi after the package.
			"random_bytes": {Tok: "random:index/randomBytes:RandomBytes"},
			"random_uuid":  {Tok: "random:index/randomUuid:RandomUuid"},
		},
	}
	info.MustComputeTokens(tokens.SingleModule("random_", "index", func(module, name string) (string, error) {
		return tokens.MakeStandard("random")(module, "Random"+name)
	}))
	return info
}

// read returns the content of a file beside the executable.
func read(name string) []byte {
	executable, err := os.Executable()
	if err != nil {
		fail(err)
	}
	content, err := os.ReadFile(filepath.Join(filepath.Dir(executable), name))
	if err != nil {
		fail(fmt.Errorf("%w: run `make up` to build the plugin again", err))
	}
	return content
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, "pulumi-resource-random:", err)
	os.Exit(1)
}

func generate(directory string) {
	// The generator has a command line of its own.
	os.Args = []string{"pulumi-tfgen-random", "schema", "--out", directory, "--skip-docs", "--skip-examples"}
	pfgen.Main("random", provider([]byte("{}")))
}

func main() {
	if len(os.Args) == 3 && os.Args[1] == "generate" {
		generate(os.Args[2])
		return
	}
	pf.Main(context.Background(), "random", provider(read(metadataFile)), pf.ProviderMetadata{PackageSchema: read(schemaFile)})
}
