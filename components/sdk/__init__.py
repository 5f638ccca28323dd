"""Helpers around Pulumi's Python SDK."""
