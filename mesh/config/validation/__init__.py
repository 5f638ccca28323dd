"""Validation of the stack file across fields and clusters."""
