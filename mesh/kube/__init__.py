"""The Kubernetes API: client, kubeconfig, ownership of objects."""
