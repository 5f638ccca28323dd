"""The clusters of a stack file: each with its context, its Linkerd, and the rules on what stands beside what."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from mesh.config.errors import ELLIPSIS, ValidationErrors, join_names, suggestion
from mesh.config.field_types import expand_path
from mesh.config.models.stack_file import ClusterConfig as Entry
from mesh.config.models.stack_file import ClusterLinkerdConfig
from mesh.config.network_types import is_loopback as leads_to_itself
from mesh.config.parser import ParsedStackFile
from mesh.config.reserved_values import check_linkerd_values
from mesh.config.resolved import ClusterSettings, merge_values
from mesh.kube import kubeconfig
from mesh.linkerd_releases import LinkerdRelease

_MISSING = "no such file"

# Those of the gateway's Service.
PORT, PROBE_PORT = 4143, 4191


def resolve_clusters(
    reading: ParsedStackFile,
    names: list[str],
    chosen: LinkerdRelease,
    environment: Mapping[str, str],
    faults: ValidationErrors,
) -> list[ClusterSettings]:
    """The clusters whose context was found.

    Args:
        reading: the stack file.
        names: all names of clusters in it, those with faults included.
        chosen: the release of Linkerd.
        environment: of the process, for `$KUBECONFIG`.
        faults: where faults go.
    """
    file = reading.file
    if not names and not faults.is_invalid("clusters"):
        faults.add(
            ("clusters",), None, "at least one cluster is needed", "name them below `clusters`, as in `west: {}`"
        )
    for name in file.kubeconfigs:
        if names and name not in names:
            faults.add(("kubeconfigs", name), ELLIPSIS, "no such cluster in `clusters`", suggestion(name, names))
    check_linkerd_values(("linkerd", "values"), file.linkerd, faults)
    _check_tolerations(("linkerd", "tolerations"), file.linkerd, reading, faults)
    contexts = _Contexts(environment, faults)
    found: list[tuple[ClusterSettings, tuple[Any, ...]]] = []
    for name, entry in file.clusters.items():
        path = ("clusters", name)
        check_linkerd_values((*path, "linkerd", "values"), entry.linkerd, faults)
        _check_tolerations((*path, "linkerd", "tolerations"), entry.linkerd, reading, faults)
        _check_gateway((*path, "gateway"), entry, faults)
        secret = file.kubeconfigs.get(name)
        if secret is not None and entry.kubeconfig is not None:
            rule = f"kubeconfigs.{name} is this cluster's kubeconfig too"
            faults.add((*path, "kubeconfig"), entry.kubeconfig, rule, "take one of the two out")
        text = secret.get_secret_value() if secret is not None else None
        context = contexts.of(name, entry, text)
        if context is None:
            continue
        cluster = ClusterSettings(
            name=name,
            context=context,
            kubeconfig=text or expand_path(entry.kubeconfig or ""),
            kubeconfig_is_secret=text is not None,
            reachable=entry.reachable is True,
            abandoned=entry.reachable == "never",
            api_server=entry.api_server or context.server,
            gateway=entry.gateway,
            networks=entry.networks,
            adopt=entry.adopt,
            linkerd=_merge_linkerd(file.linkerd, entry.linkerd),
            release=chosen,
        )
        found.append((cluster, contexts.place(entry, text)))
    _check_duplicate_clusters(found, faults)
    return [cluster for cluster, _ in found]


class _Contexts:
    """Finds contexts; each kubeconfig is read once."""

    def __init__(self, environment: Mapping[str, str], faults: ValidationErrors) -> None:
        self._faults = faults
        self._read: dict[tuple[Path, ...], kubeconfig.Kubeconfig | kubeconfig.KubeconfigError] = {}
        try:
            self.default = tuple(kubeconfig.kubeconfig_paths(environment))
        except RuntimeError:  # `~someone` of whom this machine knows no home, or nobody has one
            self.default = (Path(environment.get("KUBECONFIG", "~/.kube/config")),)

    def of(self, name: str, entry: Entry, secret: str | None) -> kubeconfig.Context | None:
        own = entry.kubeconfig is not None or secret is not None
        found = self._kubeconfig(name, entry, secret)
        wanted = entry.context or name
        if isinstance(found, kubeconfig.Kubeconfig):
            if own and entry.context is None and name not in found.contexts:
                # A kubeconfig for this cluster alone says itself which of its contexts is meant.
                wanted = found.current or name
            context = found.contexts.get(wanted)
            if context is not None and context.fault is None:
                return context
            if context is not None:
                found = kubeconfig.KubeconfigError(context.fault)
        if entry.reachable is not True:
            # What can't be reached needs no way there; nothing of it is asked or changed.
            return kubeconfig.Context(name=wanted, server=entry.api_server or "")
        path = ("clusters", name)
        malformed = [self._faults.is_invalid(*path, key) for key in ("context", "kubeconfig", "reachable")]
        if any(malformed) or self._faults.is_invalid("kubeconfigs", name):
            return None
        if isinstance(found, kubeconfig.KubeconfigError):
            self._unreadable(name, entry, secret, found)
        else:
            self._unknown((*path, "context"), wanted, sorted(found.contexts), entry, secret)
        return None

    def place(self, entry: Entry, secret: str | None) -> tuple[Any, ...]:
        """Where the cluster's kubeconfig is: the same for two that have the same one."""
        if secret is not None:
            return (secret,)
        return self._files(entry) if entry.kubeconfig is not None else self.default

    def _files(self, entry: Entry) -> tuple[Path, ...]:
        return (Path(expand_path(entry.kubeconfig or "")),)

    def _kubeconfig(
        self, name: str, entry: Entry, secret: str | None
    ) -> kubeconfig.Kubeconfig | kubeconfig.KubeconfigError:
        if secret is not None:
            label = f"kubeconfigs.{name}"
            return _try_read(lambda: kubeconfig.parse_kubeconfig(secret, label), label)
        files = self.default if entry.kubeconfig is None else self._files(entry)
        if files not in self._read:
            if entry.kubeconfig is not None and not _is_file(files[0]):
                self._read[files] = kubeconfig.KubeconfigError(f"{files[0]}: {_MISSING}")
            else:
                self._read[files] = _try_read(lambda: kubeconfig.read_kubeconfigs(files), str(files[0]))
        return self._read[files]

    def _unreadable(self, name: str, entry: Entry, secret: str | None, error: kubeconfig.KubeconfigError) -> None:
        if secret is not None:
            what = str(error).removeprefix(f"kubeconfigs.{name}: ")
            # It would have to be on every machine that runs this program; and it may be anything that was pasted there.
            rule = "its certificate-authority is a file" if what.startswith("certificate-authority: ") else what
            remedy = "give it what `kubectl config view --raw --flatten --minify` prints"
            self._faults.add(("kubeconfigs", name), "[secret]", rule, remedy)
            return
        mine = entry.kubeconfig is not None
        files = self._files(entry) if mine else self.default
        file = next((file for file in files if str(error).startswith(f"{file}: ")), files[0])
        path = ("clusters", name, "kubeconfig") if mine else ("$KUBECONFIG",)
        remedy = "mend it, or name another one" if mine else "mend it, or name another one in $KUBECONFIG"
        shown, rule = entry.kubeconfig if mine else str(file), str(error).removeprefix(f"{file}: ")
        self._faults.add(path, shown, rule, "name a file that is there" if rule == _MISSING else remedy)

    def _unknown(
        self, path: tuple[str, ...], wanted: str, known: Sequence[str], entry: Entry, secret: str | None
    ) -> None:
        if secret is not None:
            where, remedy = f"kubeconfigs.{path[1]}", "name one of them"
        elif entry.kubeconfig is not None:
            where, remedy = entry.kubeconfig, "name one of them"
        else:
            where, remedy = ", ".join(map(str, self.default)), "name one of them, or set $KUBECONFIG"
        if not known:
            own = secret is not None or entry.kubeconfig is not None
            remedy = "give a kubeconfig that has it" if own else "set $KUBECONFIG to a file that has it"
        self._faults.add(path, wanted, f"no such context in {where} (known: {join_names(known)})", remedy)


def _try_read(
    read: Callable[[], kubeconfig.Kubeconfig], label: str
) -> kubeconfig.Kubeconfig | kubeconfig.KubeconfigError:
    try:
        return read()
    except kubeconfig.KubeconfigError as error:
        return error
    except ValueError:  # a file name that can't be
        return kubeconfig.KubeconfigError(f"{label}: not a kubeconfig")


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def _merge_linkerd(everywhere: ClusterLinkerdConfig, here: ClusterLinkerdConfig) -> ClusterLinkerdConfig:
    """The mesh's settings with what the cluster says over them; charts' values are merged key by key."""
    own: dict[str, Any] = {key: getattr(here, key) for key in here.model_fields_set}
    charts = everywhere.values.keys() | here.values.keys()
    own["values"] = {
        chart: merge_values(everywhere.values.get(chart, {}), here.values.get(chart, {})) for chart in charts
    }
    return everywhere.model_copy(update=own)


def _check_gateway(path: tuple[str, ...], entry: Entry, faults: ValidationErrors) -> None:
    gateway = entry.gateway
    if (gateway.port or PORT) == (gateway.probe_port or PROBE_PORT):
        rule = "the gateway and its probe can't be at the same port"
        key, value = ("probePort", gateway.probe_port) if gateway.probe_port else ("port", gateway.port)
        faults.add((*path, key), value, rule, "choose another port")
    others = gateway.model_fields_set - {"enabled"}
    if not gateway.enabled and others:
        rule = "there is no gateway for the other settings to be about"
        faults.add((*path, "enabled"), False, rule, "leave them out, or enable it")
    if gateway.load_balancer.public and gateway.load_balancer.source_ranges:
        rule = "sourceRanges says who may come in: not all"
        faults.add((*path, "loadBalancer", "public"), True, rule, "take one of the two out")
    if gateway.node_port is None:
        return
    if gateway.load_balancer.model_fields_set and gateway.load_balancer.enabled:
        rule = "a gateway has node ports or a load balancer"
        faults.add((*path, "nodePort"), gateway.node_port.model_dump(), rule, "take nodePort or loadBalancer out")
    if gateway.node_port.port == gateway.node_port.probe_port:
        rule = "the gateway and its probe can't be at the same port"
        faults.add((*path, "nodePort", "probePort"), gateway.node_port.probe_port, rule, "choose another port")


def _check_tolerations(
    path: tuple[str, ...], linkerd: ClusterLinkerdConfig, reading: ParsedStackFile, faults: ValidationErrors
) -> None:
    """What Kubernetes would refuse, when a part of Linkerd is there already."""
    for number, each in zip(reading.original_indices(*path), linkerd.tolerations, strict=True):
        here: tuple[str | int, ...] = (*path, number)
        if faults.is_invalid(*here):
            continue
        if each.operator == "Exists" and each.value:
            remedy = "take the value out, or the operator"
            faults.add((*here, "value"), each.value, "`operator: Exists` is about any value", remedy)
        if each.key is None and each.operator != "Exists":
            faults.add((*here, "key"), None, "no taint is named", "name its key, or write `operator: Exists` for any")
        if each.toleration_seconds is not None and each.effect != "NoExecute":
            remedy = "write `effect: NoExecute`, or take tolerationSeconds out"
            faults.add((*here, "effect"), each.effect, "only pods under NoExecute stay for seconds", remedy)


def _check_duplicate_clusters(found: list[tuple[ClusterSettings, tuple[Any, ...]]], faults: ValidationErrors) -> None:
    seen: dict[tuple[Any, ...], str] = {}
    for cluster, place in found:
        key = (*place, cluster.context.name)
        if key in seen:
            rule = f"the context of clusters.{seen[key]} too: one cluster can't be in the mesh twice"
            faults.add(("clusters", cluster.name, "context"), cluster.context.name, rule, "name another context")
        seen.setdefault(key, cluster.name)


def is_loopback(url: str) -> bool:
    """Whether a URL leads whoever uses it back to themselves."""
    try:
        return leads_to_itself(urlsplit(url).hostname or "")
    except ValueError:
        return False
