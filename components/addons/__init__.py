"""Add-ons that the mesh needs on some clusters: MetalLB, ingress-nginx, Gateway API CRDs."""
