"""Local Kubernetes clusters for trying and testing the mesh: real API servers, fake nodes, real service mirrors.

`python -m hack.lab start west east` starts them; `python -m hack.lab stop` leaves nothing running. The Pulumi program
imports nothing from here.
"""
