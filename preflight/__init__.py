"""What is asked of each cluster before anything is changed: whether `up` can go well there, in one look."""

from preflight.finding import Finding, Severity
from preflight.question import Flat, Question
from preflight.stack import PreflightError, require
from preflight.survey import run

__all__ = ["Finding", "Flat", "PreflightError", "Question", "Severity", "require", "run"]
