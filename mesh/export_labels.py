"""Labels by which Linkerd mirrors a Service: https://linkerd.io/2/reference/multicluster/."""

from __future__ import annotations

from mesh.config.models.services import ExportMode
from mesh.kube.constants import EXPORTED_LABEL, FEDERATED_LABEL


def export_labels(mode: ExportMode | None, *, is_federated: bool) -> dict[str, str]:
    """Return the labels by which Linkerd mirrors a Service.

    Args:
        mode: mode of the export; None: none.
        is_federated: whether the Service is a member of a federated service.
    """
    labels: dict[str, str] = {}
    if mode is not None:
        labels[EXPORTED_LABEL] = "true" if mode == "gateway" else mode
    if is_federated:
        labels[FEDERATED_LABEL] = "member"
    return labels
