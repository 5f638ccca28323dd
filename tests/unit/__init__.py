"""Fast tests: no cluster, no toolchain."""
