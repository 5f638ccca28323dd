"""Tests on the real API servers of the lab."""
