"""Faults during creation, change and deletion of a mesh, and the required state afterwards: `make faults`."""
