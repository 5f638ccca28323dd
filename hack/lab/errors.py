"""The error that people are shown."""


class LabError(Exception):
    """Something a person can put right: the message says what is wrong, where, and the remedy."""
