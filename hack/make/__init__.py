"""Commands of the Makefile that work on a stack in the lab."""
