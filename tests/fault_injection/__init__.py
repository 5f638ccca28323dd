"""What may go wrong while a mesh is made, changed or taken away, and what must be true afterwards: `make faults`."""
