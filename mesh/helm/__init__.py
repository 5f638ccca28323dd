"""Helm's storage of releases, and the drift of their objects."""
