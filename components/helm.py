"""A Helm release as every component of this program makes one."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pulumi
from pulumi_kubernetes.helm.v3 import Release, RepositoryOptsArgs


def release(
    resource_name: str,
    *,
    name: str,
    namespace: pulumi.Input[str],
    chart: str,
    version: str | None,
    source: str | None,
    values: Mapping[str, Any],
    opts: pulumi.ResourceOptions,
    wait: bool = True,
) -> Release:
    """A release of one chart.

    Args:
        resource_name: the Pulumi resource's name.
        name: the release's name in the cluster, at most 53 characters.
        namespace: where it goes; it must exist.
        chart: the chart's name, or without a source the folder that it is in.
        version: the chart's version, where there is a source.
        source: a chart repository's URL, an `oci://` reference, or a folder of chart archives.
        values: what differs from the chart's own values.
        opts: the usual resource options.
        wait: whether to wait until what it makes is ready, at most five minutes.
    """
    location: dict[str, Any]
    if source is None:
        location = {"chart": chart}
    elif source.startswith("oci://"):
        location = {"chart": f"{source.rstrip('/')}/{chart}", "version": version}
    elif Path(source).is_dir():
        location = {"chart": str(Path(source) / f"{chart}-{version}.tgz")}
    else:
        location = {"chart": chart, "version": version, "repository_opts": RepositoryOptsArgs(repo=source)}
    return Release(
        resource_name,
        name=name,
        namespace=namespace,
        values=dict(values),
        create_namespace=False,
        # The hooks of Linkerd's charts do one thing: they label a namespace, which this program has done already.
        disable_webhooks=True,
        skip_await=not wait,
        # What a stopped update has left behind is replaced by the next one, not added to.
        cleanup_on_fail=True,
        max_history=5,
        timeout=300,
        opts=opts,
        **location,
    )
