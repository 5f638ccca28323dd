"""Cilium on a cluster, and the ClusterMesh that joins its clusters."""
