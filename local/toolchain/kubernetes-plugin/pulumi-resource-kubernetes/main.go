// Command pulumi-resource-kubernetes serves the kubernetes provider to the Pulumi engine.
//
// The official plugin is only published as a download. This main builds the same provider from its Go module; the
// two data files upstream embeds are read from beside the executable, where the build copies them from the module.
package main

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/pulumi/pulumi-kubernetes/provider/v4/pkg/provider"
)

// version is that of the Python package whose calls this plugin answers; the build sets it.
var version = "0.0.0"

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
	fmt.Fprintln(os.Stderr, "pulumi-resource-kubernetes:", err)
	os.Exit(1)
}

func main() {
	provider.Serve("kubernetes", version, read("schema.json"), read("terraform-mapping.json"))
}
