"""Restart of a link's controller after a change of the link's credentials.

From Linkerd 2.18, the controller reads the credentials only when it finds its Link.
"""

from __future__ import annotations

from mesh.kube.client import KubeClient

CREDENTIALS_CHECKSUM_ANNOTATION = "multicluster-mesh/credentials-checksum"


def restart_controller(client: KubeClient, namespace: str, controller: str, checksum: str) -> None:
    """Restart a controller's pods by a rollout, as `kubectl rollout restart` does.

    Args:
        client: client of the source cluster.
        namespace: namespace of the controller.
        controller: name of the controller's Deployment.
        checksum: checksum of the new credentials.
    """
    patch = {"spec": {"template": {"metadata": {"annotations": {CREDENTIALS_CHECKSUM_ANNOTATION: checksum}}}}}
    # A missing Deployment is no error: the controller reads the credentials when it starts.
    client.request("PATCH", f"/apis/apps/v1/namespaces/{namespace}/deployments/{controller}", body=patch)
