"""Local Kubernetes clusters for tests and trials: real API servers, fake nodes, real service mirrors.

`python -m hack.lab start west east` starts clusters, and `python -m hack.lab stop` stops all of them. The Pulumi
program imports nothing from this package.
"""
