"""The stack file, typed: a strict load, then defaults, then one error that lists every fault.

`load()` is the only place that reads Pulumi's configuration and the environment.
"""

from __future__ import annotations

import difflib
import ipaddress
import json
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pulumi

import kubeconfig
from topology import Link, targets
from versions import DEFAULT_LINKERD, LINKERD, LINKERD_CHARTS, LinkerdRelease

PROJECT = "multicluster-mesh"
CHARTS_VARIABLE = "MULTICLUSTER_MESH_CHARTS"

# Helm's limit of 53 on a release's name, less `link-`; Linkerd's own limit is 49 (a Service `probe-gateway-<target>`).
TARGET_NAME_LENGTH = 48

_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")


class SettingsError(Exception):
    """Everything that is wrong with a stack file, one fault per line: path, value, rule, remedy."""

    def __init__(self, faults: Iterable[str]) -> None:
        self.faults = tuple(faults)
        count = "1 fault" if len(self.faults) == 1 else f"{len(self.faults)} faults"
        super().__init__("\n".join([f"{count} in the configuration; nothing was touched:", *self.faults]))


@dataclass(frozen=True, kw_only=True)
class Gateway:
    """How a cluster's multicluster gateway can be reached."""

    load_balancer: bool = True  # False: its Service never gets an address, so the cluster can only be a source


@dataclass(frozen=True, kw_only=True)
class Cluster:
    """One cluster of the mesh."""

    name: str
    context: kubeconfig.Context
    api_server: str  # the URL at which the clusters that link to this one reach its API server
    gateway: Gateway = field(default_factory=Gateway)


@dataclass(frozen=True, kw_only=True)
class Podinfo:
    """The podinfo sample: a web service that says which cluster answered."""

    namespace: str = "test"
    clusters: tuple[str, ...]
    exported: tuple[str, ...]  # clusters whose podinfo is seen by the clusters that link to them


@dataclass(frozen=True, kw_only=True)
class Settings:
    """A whole stack file."""

    clusters: tuple[Cluster, ...]
    links: tuple[Link, ...]
    linkerd: LinkerdRelease
    charts: str  # a chart repository's URL, an oci:// reference, or a folder of chart archives
    podinfo: tuple[Podinfo, ...]


def load() -> Settings:
    """The settings of the stack that is being previewed or updated.

    Raises:
        SettingsError: the stack file has faults; no cluster has been contacted yet.
    """
    prefix = f"{PROJECT}:"
    configured = pulumi.runtime.get_config_env()
    ours = {key.removeprefix(prefix): value for key, value in configured.items() if key.startswith(prefix)}
    return parse({key: _decoded(value) for key, value in ours.items()}, os.environ)


def parse(config: Mapping[str, Any], environment: Mapping[str, str]) -> Settings:
    """Settings from the decoded configuration, its keys without the project's prefix.

    Raises:
        SettingsError: naming every fault.
    """
    return _Parser(environment).settings(config)


def _decoded(value: str) -> Any:
    """Pulumi hands structured configuration over as JSON, and everything else as a string."""
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        return value


class _Parser:
    """Reads one configuration, collecting faults as it goes; a faulty value is replaced by None or left out."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = environment
        self._faults: list[str] = []

    def settings(self, config: Mapping[str, Any]) -> Settings:
        known = ("clusters", "links", "linkerd", "charts", "workloads")
        read = self._mapping(dict(config), "", known)
        clusters = self._clusters(read.get("clusters"))
        names = [str(name) for name in read["clusters"]] if isinstance(read.get("clusters"), dict) else []
        links = self._links(read.get("links"), names)
        self._targets(clusters, links)
        release = self._release(read.get("linkerd"))
        charts = self._charts(read.get("charts"))
        podinfo = self._workloads(read.get("workloads"), names)
        if self._faults:
            raise SettingsError(self._faults)
        return Settings(clusters=clusters, links=links, linkerd=release, charts=charts, podinfo=podinfo)

    def _clusters(self, value: Any) -> tuple[Cluster, ...]:
        if value is None or value == {}:
            self._fault(
                "clusters", value, "at least one cluster is needed", "name your clusters, each with its context"
            )
            return ()
        if not isinstance(value, dict):
            self._fault(
                "clusters", value, "a mapping of cluster names to their settings was expected", "write `west: {}`"
            )
            return ()
        files = kubeconfig.paths(self._environment)
        try:
            contexts = kubeconfig.contexts(files)
        except kubeconfig.KubeconfigError as error:
            self._faults.append(f"{error}; mend the file, or name another one in $KUBECONFIG")
            contexts = None
        where = ", ".join(map(str, files))
        found = [self._cluster(name, entry, contexts, where) for name, entry in value.items()]
        return tuple(cluster for cluster in found if cluster is not None)

    def _cluster(
        self, name: Any, value: Any, contexts: Mapping[str, kubeconfig.Context] | None, where: str
    ) -> Cluster | None:
        path = f"clusters.{name}"
        if not isinstance(name, str) or not _LABEL.fullmatch(name):
            rule = "a cluster's name is part of Kubernetes names: lower-case letters, digits and dashes, at most 63"
            self._fault(path, name, rule, "rename it; `context` may say anything")
        entry = self._mapping({} if value is None else value, path, ("context", "apiServer", "gateway"))
        wanted = self._string(entry.get("context", name), f"{path}.context")
        gateway = self._mapping(entry.get("gateway", {}), f"{path}.gateway", ("loadBalancer",))
        load_balancer = gateway.get("loadBalancer", True)
        if not isinstance(load_balancer, bool):
            self._fault(
                f"{path}.gateway.loadBalancer", load_balancer, "true or false was expected", "leave it out for true"
            )
        api_server = entry.get("apiServer")
        if api_server is not None:
            api_server = self._url(api_server, f"{path}.apiServer", ("https",))
        if contexts is None or wanted is None:
            return None
        if wanted not in contexts:
            known = ", ".join(sorted(contexts)) or "none"
            self._fault(
                f"{path}.context",
                wanted,
                f"no such context in {where} (known: {known})",
                "name one of them, or set $KUBECONFIG",
            )
            return None
        context = contexts[wanted]
        return Cluster(
            name=str(name),
            context=context,
            api_server=api_server or context.server,
            gateway=Gateway(load_balancer=load_balancer is not False),
        )

    def _links(self, value: Any, clusters: list[str]) -> tuple[Link, ...]:
        links: list[Link] = []
        for number, item in enumerate(self._list(value, "links")):
            path = f"links[{number}]"
            entry = self._mapping(item, path, ("source", "target"))
            ends = {end: self._known_cluster(entry.get(end), f"{path}.{end}", clusters) for end in ("source", "target")}
            source, target = ends["source"], ends["target"]
            if source is None or target is None:
                continue
            link = Link(source=source, target=target)
            if source == target:
                self._fault(path, link.name, "a cluster can't be linked to itself", "name two clusters")
            elif link in links:
                self._fault(path, link.name, f"the same as links[{links.index(link)}]", "remove one of them")
            elif len(target) > TARGET_NAME_LENGTH:
                rule = f"a target's name is part of other names and has at most {TARGET_NAME_LENGTH} characters"
                self._fault(f"{path}.target", target, rule, "give the cluster a shorter name; `context` may stay")
            links.append(link)
        return tuple(links)

    def _targets(self, clusters: Iterable[Cluster], links: Iterable[Link]) -> None:
        """Rules on the clusters that others must reach."""
        wanted = targets(link for link in links if link.source != link.target)
        for cluster in clusters:
            if cluster.name not in wanted:
                continue
            path = f"clusters.{cluster.name}"
            sources = ", ".join(sorted(link.source for link in links if link.target == cluster.name))
            if not cluster.gateway.load_balancer:
                rule = f"{sources} can't reach the gateway of a target without a load balancer"
                self._fault(f"{path}.gateway.loadBalancer", False, rule, "give it one, or turn the link round")
            if _is_loopback(cluster.api_server) and not cluster.context.loopback_peers:
                rule = f"a loopback address: {sources} would reach itself there"
                remedy = f"set {path}.apiServer to the URL at which peers reach this cluster's API server"
                self._fault(f"{path}.apiServer", cluster.api_server, rule, remedy)

    def _release(self, value: Any) -> LinkerdRelease:
        entry = self._mapping({} if value is None else value, "linkerd", ("version",))
        version = entry.get("version", DEFAULT_LINKERD)
        release = LINKERD.get(version.removeprefix("stable-")) if isinstance(version, str) else None
        if release is None:
            known = ", ".join(LINKERD)
            self._fault(
                "linkerd.version", version, f"not a release that this program knows ({known})", "write it in quotes"
            )
            return LINKERD[DEFAULT_LINKERD]
        return release

    def _charts(self, value: Any) -> str:
        entry = self._mapping({} if value is None else value, "charts", ("repository",))
        default = self._environment.get(CHARTS_VARIABLE) or LINKERD_CHARTS
        repository = entry.get("repository", default)
        if isinstance(repository, str) and Path(repository).is_dir():
            return repository
        return self._url(repository, "charts.repository", ("https", "http", "oci")) or default

    def _workloads(self, value: Any, clusters: list[str]) -> tuple[Podinfo, ...]:
        found: list[Podinfo] = []
        for number, item in enumerate(self._list(value, "workloads")):
            path = f"workloads[{number}]"
            entry = self._mapping(item, path, ("podinfo",))
            if len(entry) != 1:
                self._fault(path, item, "each entry names one workload", "write `- podinfo: {}`")
                continue
            workload = self._podinfo({} if entry["podinfo"] is None else entry["podinfo"], f"{path}.podinfo", clusters)
            taken = {(other.namespace, cluster) for other in found for cluster in other.clusters}
            for cluster in workload.clusters:
                if (workload.namespace, cluster) in taken:
                    rule = f"another podinfo is already in namespace {workload.namespace} of {cluster}"
                    self._fault(f"{path}.podinfo", cluster, rule, "choose another namespace")
            found.append(workload)
        return tuple(found)

    def _podinfo(self, value: Any, path: str, clusters: list[str]) -> Podinfo:
        entry = self._mapping(value, path, ("namespace", "clusters", "exported"))
        namespace = self._string(entry.get("namespace", "test"), f"{path}.namespace") or "test"
        if not _LABEL.fullmatch(namespace):
            rule = "not a name that Kubernetes accepts for a namespace"
            self._fault(f"{path}.namespace", namespace, rule, "use lower-case letters, digits and dashes, at most 63")
        chosen = self._cluster_list(entry.get("clusters", clusters), f"{path}.clusters", clusters)
        exported = self._cluster_list(entry.get("exported", []), f"{path}.exported", clusters)
        for name in exported:
            if name not in chosen:
                self._fault(f"{path}.exported", name, "podinfo doesn't run there", f"add it to {path}.clusters")
        return Podinfo(namespace=namespace, clusters=chosen, exported=exported)

    def _cluster_list(self, value: Any, path: str, clusters: list[str]) -> tuple[str, ...]:
        found: list[str] = []
        for number, item in enumerate(self._list(value, path)):
            name = self._known_cluster(item, f"{path}[{number}]", clusters)
            if name is not None and name in found:
                self._fault(f"{path}[{number}]", name, "named twice", "remove one of them")
            elif name is not None:
                found.append(name)
        return tuple(found)

    def _known_cluster(self, value: Any, path: str, clusters: list[str]) -> str | None:
        if value is None:
            self._fault(path, value, "missing", f"name a cluster ({', '.join(clusters) or 'none is declared'})")
            return None
        if not isinstance(value, str) or value not in clusters:
            close = difflib.get_close_matches(str(value), clusters, n=1)
            remedy = f"did you mean {close[0]}?" if close else f"declared are {', '.join(clusters) or 'none'}"
            self._fault(path, value, "no such cluster in `clusters`", remedy)
            return None
        return value

    def _mapping(self, value: Any, path: str, known: tuple[str, ...]) -> dict[str, Any]:
        """The known entries of a mapping."""
        if not isinstance(value, dict):
            self._fault(path, value, "a mapping was expected", f"known keys are {', '.join(known)}")
            return {}
        for key in value:
            if key not in known:
                close = difflib.get_close_matches(str(key), known, n=1)
                remedy = f"did you mean {close[0]}?" if close else f"known keys are {', '.join(known)}"
                self._fault(f"{path}.{key}".lstrip("."), value[key], "unknown key", remedy)
        return {key: value[key] for key in value if key in known}

    def _list(self, value: Any, path: str) -> list[Any]:
        if value is None:
            return []
        if not isinstance(value, list):
            self._fault(path, value, "a list was expected", "write each entry on a line that begins with `- `")
            return []
        return value

    def _string(self, value: Any, path: str) -> str | None:
        if not isinstance(value, str) or not value:
            self._fault(path, value, "a text was expected", "write it in quotes")
            return None
        return value

    def _url(self, value: Any, path: str, schemes: tuple[str, ...]) -> str | None:
        try:
            parts = urlsplit(value) if isinstance(value, str) else None
            valid = parts is not None and parts.scheme in schemes and bool(parts.hostname) and parts.port != 0
        except ValueError:
            valid = False
        if not valid:
            expected = " or ".join(f"{scheme}://" for scheme in schemes)
            self._fault(path, value, "not a URL that can be used here", f"write {expected}host[:port][/path]")
            return None
        return str(value)

    def _fault(self, path: str, value: Any, rule: str, remedy: str) -> None:
        shown = json.dumps(value, default=str)
        shown = shown if len(shown) <= 80 else f"{shown[:77]}..."
        self._faults.append(f"{path}: {shown}: {rule}; {remedy}")


def _is_loopback(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback or ipaddress.ip_address(host).is_unspecified
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")
