// This module contains all released charts of Cilium; no Go package is built, so `go mod tidy` would remove the module.
// To change the version, run `go get github.com/cilium/charts@<commit>` in this folder. The module is separate from
// add-ons, so that only users of Cilium download its 36 MB.
module multicluster-mesh.local/toolchain/cilium

go 1.26.0

require github.com/cilium/charts v0.0.0-20260213195402-3d62b3c13114 // charts up to 1.19.0
