// The CRDs that cert-manager's own chart installs are files of its module; no Go package of it is built, and `go mod tidy`
// would take it out. To move the version: `go get github.com/cert-manager/cert-manager@v…` in this folder.
module multicluster-mesh.local/toolchain/cert-manager

go 1.26.0

require github.com/cert-manager/cert-manager v1.18.2
