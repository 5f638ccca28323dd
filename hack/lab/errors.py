"""Errors of the lab that the user can fix."""


class LabError(Exception):
    """An error that the user can fix; the message contains the place, the rule and the remedy."""
