"""Software that the mesh needs on some clusters: MetalLB, ingress-nginx, the Gateway API."""
