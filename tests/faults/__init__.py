"""Tests of what happens when something goes wrong, or somebody means ill."""
