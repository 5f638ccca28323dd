"""Readiness of Kubernetes objects: the wait for it, and the reasons why an object is not ready.

Nothing here depends on Pulumi. A wait needs a cluster and the objects of a manifest.
"""
