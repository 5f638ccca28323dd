"""Change of export labels before a change of the links to their cluster.

A link that no longer selects a label deletes the mirrors of all services with it. So these services get a label that
the link selects before and after its change.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any
from urllib.parse import quote

from components.cluster import Cluster
from components.workloads.service_export import apply_export, export_props

# Imported here because hooks run after Pulumi has removed the program's folder from the import path.
from mesh.kube import client as kube_client
from mesh.kube.client import METADATA_LIST_MEDIA_TYPE
from mesh.kube.constants import EXPORTED_LABEL, REMOTE_DISCOVERY
from mesh.kube.json_access import as_mapping
from mesh.kube.watch import Collection, ObjectName, wait_until
from mesh.traffic_changes import ExportSwitch

# Controllers watch the services and need one or two seconds.
SWITCH_TIMEOUT_S = 60.0


class MirrorNotSwitchedError(Exception):
    """A service mirror does not follow a changed export label."""


def switch_exports(source: Cluster, target: Cluster, switches: Sequence[ExportSwitch]) -> None:
    """Change export labels in a target, and wait until a source's mirrors follow.

    Args:
        source: cluster of the mirrors.
        target: cluster of the services.
        switches: the exports.

    Raises:
        MirrorNotSwitchedError: a mirror does not follow in time.
        KubeError: a request fails.
    """
    target_client = kube_client.connect(target.access)
    for switch in switches:
        apply_export(
            target_client, export_props(target, switch.namespace, switch.service, EXPORTED_LABEL, switch.value)
        )
    source_client = kube_client.connect(source.access)
    for switch in switches:
        name = f"{switch.service}-{switch.target}"
        mirror = Collection(
            path=f"/api/v1/namespaces/{quote(switch.namespace, safe='')}/services",
            field_selector=f"metadata.name={name}",
            accept=METADATA_LIST_MEDIA_TYPE,
        )
        follows = partial(_follows, has_gateway=switch.value == "true")
        if not wait_until(source_client, mirror, follows, timeout_s=SWITCH_TIMEOUT_S):
            raise MirrorNotSwitchedError(
                f"{source.name}: Service {switch.namespace}/{name}: does not follow the label {EXPORTED_LABEL}: "
                f"{switch.value} after {SWITCH_TIMEOUT_S:g} s, so the link from {source.name} to {target.name} is not "
                "changed; see the log of the link's service mirror, then run `pulumi up` again"
            )


def _follows(mirrors: Mapping[ObjectName, Mapping[str, Any]], *, has_gateway: bool) -> bool:
    """Return whether a mirror has the mode of its export; without the namespace, there is no mirror."""
    labels = [as_mapping(as_mapping(each, "metadata"), "labels") for each in mirrors.values()]
    return all((REMOTE_DISCOVERY not in each) == has_gateway for each in labels)
