"""The Kubernetes API: client and errors, kubeconfig, ownership of objects, constants."""
