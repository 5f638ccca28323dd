// pulumi-resource-kubernetes is the resource plugin behind the pulumi-kubernetes SDK.
package main

import (
	_ "embed"

	"github.com/pulumi/pulumi-kubernetes/provider/v4/pkg/provider"
)

// Version is the release of the pulumi-kubernetes Python SDK that this plugin serves; requirements.txt pins the same one.
const Version = "4.25.0"

// Both files are the module's own, too large to commit: the build lays them here (go build -overlay), the schema with
// its version set.
var (
	//go:embed schema.json
	schema []byte
	//go:embed terraform-mapping.json
	terraformMapping []byte
)

func main() {
	provider.Serve("kubernetes", Version, schema, terraformMapping)
}
