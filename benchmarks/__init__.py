"""Figures: how long the mesh takes to come and go, what a preview costs, and how both grow; each against something.

`python -m benchmarks` makes them all on this machine and writes `results.json`, `results.md` and the plots.
"""
