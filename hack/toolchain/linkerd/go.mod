module multicluster-mesh.local/toolchain/linkerd

go 1.26.0
