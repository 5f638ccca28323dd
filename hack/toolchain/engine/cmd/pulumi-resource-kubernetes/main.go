// pulumi-resource-kubernetes is the resource plugin behind the pulumi-kubernetes SDK.
package main

import (
	_ "embed"

	"github.com/pulumi/pulumi-kubernetes/provider/v4/pkg/provider"
)

// Version is the release of this plugin; requirements.txt pins the same release of the pulumi-kubernetes Python SDK.
const Version = "4.25.0"

// The build adds both files from the provider's module (go build -overlay), because they are too large to commit. It
// sets the version in the schema.
var (
	//go:embed schema.json
	schema []byte
	//go:embed terraform-mapping.json
	terraformMapping []byte
)

func main() {
	provider.Serve("kubernetes", Version, schema, terraformMapping)
}
