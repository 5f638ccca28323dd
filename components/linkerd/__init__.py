"""Linkerd: control plane, certificates, multicluster links and extensions."""
