// Package shim hands out the random provider, whose constructor the upstream module keeps internal.
// Its import path lies under the upstream module's, which is what lets it import that package.
package shim

import (
	"github.com/hashicorp/terraform-plugin-framework/provider"

	upstream "github.com/terraform-providers/terraform-provider-random/internal/provider"
)

// NewProvider returns the upstream provider, ready to be bridged.
func NewProvider() provider.Provider { return upstream.New() }
