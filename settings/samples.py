"""The sample workloads of a stack file: which clusters they go to, and that they don't get in each other's way."""

from __future__ import annotations

from collections.abc import Collection

from settings.faults import Faults, Reading
from settings.links import known_cluster
from settings.resolved import Sample
from settings.text import LINKERD_NAMESPACES

Path = tuple[str | int, ...]


def podinfo(reading: Reading, names: list[str], faults: Faults) -> list[Sample]:
    """The podinfo samples.

    Args:
        reading: the stack file.
        names: all names of clusters in it.
        faults: where faults go.
    """
    found: list[Sample] = []
    taken: dict[str, str] = {}
    for number, entry in zip(reading.numbered("workloads"), reading.file.workloads, strict=True):
        path: Path = ("workloads", number)
        if entry.podinfo is None:
            if not faults.malformed(*path):
                faults.add(path, {}, "each entry names one workload", "write `- podinfo: {}`, or take the entry out")
            continue
        wanted = entry.podinfo
        where = (*path, "podinfo", "clusters")
        chosen = names if wanted.clusters is None else _known(wanted.clusters, where, reading, names, faults).values()
        exported = _known(wanted.exported, (*path, "podinfo", "exported"), reading, names, faults)
        for place, name in exported.items():
            if name not in chosen and not faults.malformed(*where):
                remedy = f"add it to workloads[{number}].podinfo.clusters"
                faults.add((*path, "podinfo", "exported", place), name, "podinfo doesn't run there", remedy)
        _namespace((*path, "podinfo", "namespace"), wanted.namespace, chosen, reading, faults)
        for name in chosen:
            # In the names of resources; two pairs may come to the same.
            joined = f"{name}-{wanted.namespace}"
            if joined in taken:
                rule = f"podinfo of {taken[joined]} has the same name"
                faults.add((*path, "podinfo"), f"{wanted.namespace} of {name}", rule, "choose another namespace")
            taken.setdefault(joined, f"{wanted.namespace} of {name}")
        found.append(Sample(podinfo=wanted, clusters=tuple(chosen)))
    return found


def _namespace(path: Path, namespace: str, clusters: Collection[str], reading: Reading, faults: Faults) -> None:
    """Linkerd's namespaces are not meshed, and made by somebody else."""
    for name in clusters:
        entry = reading.file.clusters.get(name)
        here = entry is not None and "namespace" in entry.linkerd.model_fields_set
        linkerd = entry.linkerd if entry is not None and here else reading.file.linkerd
        if namespace in (linkerd.namespace, *LINKERD_NAMESPACES):
            faults.add(path, namespace, f"Linkerd itself is in that namespace of {name}", "choose another namespace")
            return


def _known(listed: list[str], path: Path, reading: Reading, names: list[str], faults: Faults) -> dict[int, str]:
    """The clusters in a list that there are, by their places in it."""
    found: dict[int, str] = {}
    for number, name in zip(reading.numbered(*path), listed, strict=True):
        if name in found.values():
            faults.add((*path, number), name, "named twice", "take one of the two out")
        elif known_cluster(name, (*path, number), names, faults):
            found[number] = name
    return found
