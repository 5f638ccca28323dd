"""Tests on real API servers, in the lab."""
