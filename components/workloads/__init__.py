"""Sample workloads, one per file."""
