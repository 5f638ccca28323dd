"""Drift of a Helm release: its objects compared with the stored manifest, and repaired.

Pulumi's refresh reads a release's revision, but none of its objects. This package compares the objects with the
manifest of the latest revision and with Helm's ownership metadata. A repair does what the next upgrade would do: create
missing objects and reset fields that differ. Fields that the manifest does not set are ignored.
"""

from mesh.helm.drift.detect import DriftedObject, find_drift
from mesh.helm.drift.repair import RepairError, remove_former_fields, repair_drift

__all__ = ["DriftedObject", "RepairError", "find_drift", "remove_former_fields", "repair_drift"]
