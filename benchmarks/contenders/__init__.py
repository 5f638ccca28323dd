"""The ways to a mesh that are compared, one per file; all begin with nothing and end with nothing left."""
