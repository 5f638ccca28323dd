"""Pulumi components of a mesh, one concept per file."""
