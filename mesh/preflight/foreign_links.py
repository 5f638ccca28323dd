"""Check for links that `linkerd multicluster link` or `link-gen` created.

With `adopt`, the stack takes over the links in the stack file. Follows
https://linkerd.io/2/reference/cli/multicluster/#link.
"""

from __future__ import annotations

from collections.abc import Iterator

from mesh.kube import service_mirror
from mesh.kube.client import METADATA_LIST_MEDIA_TYPE, KubeClient
from mesh.kube.constants import FIELD_MANAGER_ANNOTATION, LINK_GROUP, MULTICLUSTER_NAMESPACE
from mesh.kube.errors import to_single_line
from mesh.kube.json_access import as_mapping, as_mappings, as_text
from mesh.preflight.finding import Finding, Severity
from mesh.preflight.target import CheckTarget

_SUBJECT = f"the links in namespace {MULTICLUSTER_NAMESPACE}"


def check(target: CheckTarget, client: KubeClient) -> Iterator[Finding]:
    """Yield a finding for each link of another owner that the stack does not take over."""
    links = target.links or ()
    owners = _list_link_owners(client)
    mirrors = service_mirror.list_mirror_targets(client, MULTICLUSTER_NAMESPACE)
    for name in sorted({*(each for each, owner in owners.items() if not owner), *mirrors}):
        mirror = (
            list(service_mirror.find_mirror_objects(client, MULTICLUSTER_NAMESPACE, name)) if name in mirrors else []
        )
        objects = [*([f"Link {name}"] if owners.get(name) == "" else []), *(each.name for each in mirror)]
        remove = f"linkerd multicluster unlink --cluster-name {name} | kubectl delete -f -"
        helm_release = next((each.helm_release for each in mirror if each.helm_release), None)
        if name not in links:
            yield target.finding(
                "this link is not in the stack file: `up` leaves it unchanged, but `destroy` deletes its namespace",
                f"add a link from {target.name} to {name}, or remove it ({remove})",
                value=", ".join(objects),
                severity=Severity.WARNING,
            )
        elif helm_release is not None:
            yield target.finding(
                f"this link's service mirror belongs to the Helm release {helm_release}, which `up` does not take over",
                f"remove it, and `up` creates the link again (helm uninstall --namespace {MULTICLUSTER_NAMESPACE} "
                f"{helm_release})",
                value=", ".join(objects),
            )
        elif not target.adopt:
            yield target.finding(
                "this link exists already and does not belong to this stack",
                f"set {target.path}.adopt: true to take it over, or remove it ({remove})",
                value=", ".join(objects),
            )


def _list_link_owners(client: KubeClient) -> dict[str, str]:
    """Return the field manager of each Link's owner, or an empty string, by the Link's name."""
    group = client.get(f"/apis/{LINK_GROUP}", _SUBJECT)
    version = as_text(as_mapping(group, "preferredVersion").get("groupVersion"))
    if not version:
        return {}  # the cluster does not serve Links
    path = f"/apis/{version}/namespaces/{MULTICLUSTER_NAMESPACE}/links"
    link_list = client.get(path, _SUBJECT, METADATA_LIST_MEDIA_TYPE) or {}
    metadata = [as_mapping(link, "metadata") for link in as_mappings(link_list.get("items"))]
    return {
        to_single_line(as_text(each.get("name")), 63): as_text(
            as_mapping(each, "annotations").get(FIELD_MANAGER_ANNOTATION)
        )
        for each in metadata
    }
