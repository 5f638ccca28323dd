"""Servers in place of images; inside containers only this folder exists, so they import nothing else."""
