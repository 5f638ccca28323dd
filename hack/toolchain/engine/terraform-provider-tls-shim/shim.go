// Package shim re-exports the constructor of the Terraform TLS provider. Without it, Go's rule on internal packages
// hides the constructor from other modules.
package shim

import (
	framework "github.com/hashicorp/terraform-plugin-framework/provider"

	"github.com/hashicorp/terraform-provider-tls/internal/provider"
)

// NewProvider returns the Terraform TLS provider.
func NewProvider() framework.Provider {
	return provider.New()
}
