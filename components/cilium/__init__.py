"""Cilium, and the ClusterMesh that joins its clusters."""
