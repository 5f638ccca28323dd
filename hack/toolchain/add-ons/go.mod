// Only charts and CRDs of these modules are used; no Go package is built, so `go mod tidy` would remove the modules. To
// change a version, run `go get <module>@v…` in this folder. Dependencies of these modules are not used, so go.sum does
// not contain them.
module multicluster-mesh.local/toolchain/add-ons

go 1.26.0

require (
	github.com/cert-manager/cert-manager v1.18.2
	go.universe.tf/metallb v0.14.9
	k8s.io/ingress-nginx v0.0.0-20240708192948-52c50467d67d // the chart's release 4.11.0
	sigs.k8s.io/gateway-api v1.4.0
)
