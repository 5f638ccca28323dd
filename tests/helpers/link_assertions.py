"""A link compared with what Linkerd's own command would have made."""

from __future__ import annotations

import base64
import json
from typing import Any

import yaml

from tests.helpers.lab_stack import LabStack


def assert_matches_linkerd_cli(mesh: LabStack, source: str, target: str, *flags: str) -> None:
    """Compare a link, object by object, with what `linkerd multicluster link` prints.

    Args:
        mesh: the mesh, which is up.
        source: the link's source.
        target: its target.
        flags: of the command.
    """
    namespaces = {cluster.name: cluster.namespace for cluster in mesh.stack.clusters}
    command = ("linkerd", "--context", mesh.contexts[target], "--linkerd-namespace", namespaces[target])
    printed = mesh.run(*command, "multicluster", "link", "--cluster-name", target, *flags)
    compared = set()
    for theirs in filter(None, yaml.safe_load_all(printed.stdout)):
        kind, metadata = theirs["kind"], theirs["metadata"]
        compared.add(kind)
        namespace = metadata.get("namespace", "default")
        if kind == "Secret" and namespace == namespaces[target]:
            # The command takes the source's control plane to be where the target's is.
            namespace = namespaces[source]
        ours = json.loads(
            mesh.kubectl(mesh.contexts[source], "-n", namespace, "get", kind, metadata["name"], "-o", "json")
        )
        for field in ("type", "rules", "roleRef", "subjects"):
            assert ours.get(field) == theirs.get(field), f"{kind} {metadata['name']}"
        for part in ("labels", "annotations"):
            for name, value in (metadata.get(part) or {}).items():
                assert name == "linkerd.io/created-by" or ours["metadata"][part][name] == value, (
                    kind,
                    metadata["name"],
                )
        if kind == "Link":
            assert ours["spec"] == theirs["spec"]
        if kind == "Deployment":
            _assert_same_pod_template(ours["spec"]["template"], theirs["spec"]["template"])
            assert ours["spec"]["selector"] == theirs["spec"]["selector"]
        if kind == "Secret":
            assert _authority_and_server(ours) == _authority_and_server(theirs)
    assert {"Link", "Deployment", "Secret", "ClusterRole", "ServiceAccount"} <= compared


def _assert_same_pod_template(ours: dict[str, Any], theirs: dict[str, Any]) -> None:
    (our, their) = (template["spec"]["containers"][0] for template in (ours, theirs))
    assert our["image"] == their["image"]
    assert our["ports"][0]["containerPort"] == their["ports"][0]["containerPort"]
    # The format of the log is a flag that only the newer release has, set to its default.
    assert our["args"] == [argument for argument in their["args"] if not argument.startswith("-log-format")]
    assert set(theirs["metadata"]["labels"].items()) <= set(ours["metadata"]["labels"].items())
    assert set(theirs["metadata"]["annotations"].items()) <= set(ours["metadata"]["annotations"].items())


def _authority_and_server(secret: dict[str, Any]) -> dict[str, str]:
    content = yaml.safe_load(base64.b64decode(secret["data"]["kubeconfig"]))
    found = content["clusters"][0]["cluster"]
    return {key: found[key] for key in ("certificate-authority-data", "server")}
