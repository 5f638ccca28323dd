"""Compared tools, one per file; each one starts with empty clusters and leaves empty clusters."""
