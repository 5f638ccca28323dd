"""A client of a cluster's API, with the user's own kubeconfig: for what no Pulumi provider does.

It is asked before an update (`preflight`), and it clears away what no Kubernetes object owns (`components.helm`,
`components.mirrors`).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import yaml

if TYPE_CHECKING:
    from kubernetes.client import ApiClient


@dataclass(frozen=True, kw_only=True)
class Access:
    """A way to a cluster."""

    context: str
    kubeconfig: str = field(default="", repr=False)  # a path, or the content of a file; empty: as kubectl finds it


@cache
def client(access: Access) -> ApiClient:
    """A client, made once for each way.

    Raises:
        kubernetes.config.ConfigException: the kubeconfig has no such context, or can't be used.
    """
    from kubernetes import config  # half a second to import, and most previews don't need it

    if not access.kubeconfig or _is_path(access.kubeconfig):
        return config.new_client_from_config(config_file=access.kubeconfig or None, context=access.context)
    return config.new_client_from_config_dict(yaml.safe_load(access.kubeconfig), context=access.context)


def _is_path(kubeconfig: str) -> bool:
    return "\n" not in kubeconfig and not kubeconfig.lstrip().startswith("{") and Path(kubeconfig).exists()
