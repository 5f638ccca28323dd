"""Helm releases, with recovery from interrupted updates and drift repair."""
