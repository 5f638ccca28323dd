"""What is asked of each cluster before anything is changed: whether `up` can go well there, in one look."""

from mesh.preflight.finding import Finding, Severity
from mesh.preflight.runner import run
from mesh.preflight.stack import PreflightError, require
from mesh.preflight.target import Flat, Question

__all__ = ["Finding", "Flat", "PreflightError", "Question", "Severity", "require", "run"]
