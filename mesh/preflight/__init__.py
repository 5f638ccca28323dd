"""Checks of every cluster before an update: each finding is reported before anything is changed."""

from mesh.preflight.finding import Finding, Severity
from mesh.preflight.runner import run_checks
from mesh.preflight.stack import PreflightError, check_stack
from mesh.preflight.target import CheckTarget, FlatNetworkLink

__all__ = ["CheckTarget", "Finding", "FlatNetworkLink", "PreflightError", "Severity", "check_stack", "run_checks"]
