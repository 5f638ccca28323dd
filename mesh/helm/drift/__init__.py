"""What Helm has made in a cluster, compared with what is there, and made whole again.

Pulumi's refresh sees that a release is recorded, and nothing of its objects. So these are compared here with the
manifest that Helm has written down, and with the marks by which Helm knows its own. They are mended as the next upgrade
would: what is missing is made, and a field that differs gets its value back. What others have added is left alone.
"""

from mesh.helm.drift.detect import DriftedObject, find_drift
from mesh.helm.drift.repair import RepairError, repair_drift

__all__ = ["DriftedObject", "RepairError", "find_drift", "repair_drift"]
