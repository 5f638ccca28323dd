"""Pydantic models of the stack file."""
