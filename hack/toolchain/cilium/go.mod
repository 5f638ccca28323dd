// Every chart that Cilium has released is a file of this module; no Go package of it is built, and `go mod tidy` would take
// it out. To move it: `go get github.com/cilium/charts@<commit>` in this folder. It is a module of its own beside add-ons,
// so that only who needs Cilium's charts downloads their 36 MB.
module multicluster-mesh.local/toolchain/cilium

go 1.26.0

require github.com/cilium/charts v0.0.0-20260213195402-3d62b3c13114 // charts up to 1.19.0
