"""What is asked of each cluster before anything is changed: whether `up` can go well there, in one look."""

from mesh.preflight.finding import Finding, Severity
from mesh.preflight.runner import run_checks
from mesh.preflight.stack import PreflightError, require
from mesh.preflight.target import CheckTarget, FlatNetworkLink

__all__ = ["CheckTarget", "Finding", "FlatNetworkLink", "PreflightError", "Severity", "require", "run_checks"]
