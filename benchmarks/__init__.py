"""Benchmarks: the time to create, preview and destroy a mesh, its growth, and comparisons with other tools.

`python -m benchmarks` runs all of them on this machine, and writes `results.json`, `results.md` and the plots.
"""
