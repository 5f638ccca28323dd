// Charts and CRDs that others publish are files of their modules; no Go package of them is built, and `go mod tidy` would
// take them out. To move a version: `go get <module>@v…` in this folder. What these modules depend on themselves is never
// looked at, so go.sum has nothing of it.
module multicluster-mesh.local/toolchain/add-ons

go 1.26.0

require (
	github.com/cert-manager/cert-manager v1.18.2
	go.universe.tf/metallb v0.14.9
	k8s.io/ingress-nginx v0.0.0-20240708192948-52c50467d67d // the chart's release 4.11.0
	sigs.k8s.io/gateway-api v1.4.0
)
