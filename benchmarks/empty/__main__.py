"""Pulumi program with the providers of a two-cluster mesh, and nothing else."""

import pulumi_kubernetes as kubernetes

for cluster in ("west", "east"):
    kubernetes.Provider(cluster, kubeconfig="", context=cluster, cluster_identifier=cluster, enable_secret_mutable=True)
