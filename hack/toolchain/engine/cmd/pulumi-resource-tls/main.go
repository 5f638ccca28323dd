// pulumi-resource-tls is the resource plugin behind the pulumi-tls SDK.
package main

import (
	"context"
	_ "embed"

	pf "github.com/pulumi/pulumi-terraform-bridge/v3/pkg/pf/tfbridge"

	"multicluster-mesh.local/toolchain/engine/tls"
)

// The build lays it here (go build -overlay), as cmd/pulumi-tfgen-tls writes it.
//
//go:embed schema.json
var schema []byte

func main() {
	pf.Main(context.Background(), "tls", tls.Provider(), pf.ProviderMetadata{PackageSchema: schema})
}
