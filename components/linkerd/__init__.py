"""Linkerd on a cluster: control plane, trust, multicluster links and extensions."""
