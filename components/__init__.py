"""The parts of a mesh, one concept per file, each a ComponentResource."""
