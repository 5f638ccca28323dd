"""Check for changes of gateways and exports that would end requests (`mesh.traffic_changes`)."""

from __future__ import annotations

from collections.abc import Iterator

from mesh.kube.client import METADATA_LIST_MEDIA_TYPE, KubeClient
from mesh.kube.constants import CLUSTER_NAME_LABEL, MIRRORED_SERVICE_LABEL, REMOTE_DISCOVERY
from mesh.kube.errors import to_single_line
from mesh.kube.json_access import as_mapping, as_mappings, as_text
from mesh.preflight.finding import Finding, Severity
from mesh.preflight.target import CheckTarget
from mesh.traffic_changes import ExportSwitch, LostGateway

_MAX_NAMED_MIRRORS = 3


def check_gateway(target: CheckTarget, lost: LostGateway, client: KubeClient) -> Iterator[Finding]:
    """Yield a finding if a source has mirrors of a gateway that no longer answers.

    Args:
        target: the source.
        lost: the gateway.
        client: client of the source.
    """
    selector = f"{MIRRORED_SERVICE_LABEL}%3Dtrue,{CLUSTER_NAME_LABEL}%3D{lost.target},%21{REMOTE_DISCOVERY}"
    path = f"/api/v1/services?labelSelector={selector}"
    response = client.get(path, f"the mirrors of {lost.target}", METADATA_LIST_MEDIA_TYPE) or {}
    metadata = [as_mapping(each, "metadata") for each in as_mappings(response.get("items"))]
    names = sorted(
        to_single_line(f"{as_text(each.get('namespace'))}/{as_text(each.get('name'))}", 127)
        for each in metadata
        if not as_text(each.get("name")).startswith("probe-gateway-")
    )
    if names:
        more = f" and {len(names) - _MAX_NAMED_MIRRORS} more" if len(names) > _MAX_NAMED_MIRRORS else ""
        mirrors = f"{', '.join(names[:_MAX_NAMED_MIRRORS])}{more}"
        yield Finding(
            path=f"clusters.{lost.target}.gateway",
            value=lost.reason,
            rule=f"requests of {target.name} to {mirrors} would fail until the mirrors have another address",
            remedy=f"first remove {lost.target} from `splits`, `failover` and `exported` and run `pulumi up`, then "
            "change the gateway and add them again; or set `preflight.enabled: false` for this `up` to lose requests",
            severity=Severity.ERROR,
        )


def check_switch(switch: ExportSwitch) -> Finding:
    """Return the finding about an export whose mode cannot change in one update."""
    return Finding(
        path=f"clusters.{switch.target}",
        value=f"Service {switch.namespace}/{switch.service}",
        rule=f"its export cannot change to {switch.mode} in one update, because requests to its mirrors would fail",
        remedy=f"first remove {switch.target} from `splits`, `failover` and `exported` and run `pulumi up`, then add "
        "it again with the other mode",
        severity=Severity.ERROR,
    )
