// pulumi-tfgen-tls writes the schema that pulumi-resource-tls embeds.
package main

import (
	"github.com/pulumi/pulumi-terraform-bridge/v3/pkg/pf/tfgen"

	"multicluster-mesh.local/toolchain/engine/tls"
)

func main() {
	tfgen.Main("tls", tls.Provider())
}
