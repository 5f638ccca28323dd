"""The sample workloads of a stack file: which clusters they go to, and that they don't get in each other's way."""

from __future__ import annotations

from settings.faults import Faults
from settings.links import known_cluster
from settings.reading import Reading
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
    taken: dict[str, tuple[str, str]] = {}
    for number, entry in zip(reading.numbered("workloads"), reading.file.workloads, strict=True):
        path: Path = ("workloads", number, "podinfo")
        if entry.podinfo is None:
            if not faults.malformed(*path[:2]):
                remedy = "write `- podinfo: {}`, or take the entry out"
                faults.add(path[:2], {}, "each entry names one workload", remedy)
            continue
        wanted = entry.podinfo
        listed = _known(wanted.clusters or [], (*path, "clusters"), reading, names, faults).values()
        chosen = names if wanted.clusters is None else list(listed)
        exported = _known(wanted.exported, (*path, "exported"), reading, names, faults)
        for place, name in exported.items():
            if name not in chosen and not faults.malformed(*path, "clusters"):
                remedy = f"add it to workloads[{number}].podinfo.clusters"
                faults.add((*path, "exported", place), name, "podinfo doesn't run there", remedy)
        if not faults.malformed(*path, "namespace"):
            _namespace((*path, "namespace"), wanted.namespace, chosen, reading, taken, faults)
        found.append(Sample(podinfo=wanted, clusters=tuple(chosen)))
    return found


def _namespace(
    path: Path,
    namespace: str,
    clusters: list[str],
    reading: Reading,
    taken: dict[str, tuple[str, str]],
    faults: Faults,
) -> None:
    """Each cluster has one podinfo in a namespace, and nothing else there that this program makes."""
    remedy = "choose another namespace"
    for name in clusters:
        entry = reading.file.clusters.get(name)
        own = entry is not None and "namespace" in entry.linkerd.model_fields_set
        linkerd = entry.linkerd if entry is not None and own else reading.file.linkerd
        if namespace in (linkerd.namespace, *LINKERD_NAMESPACES):
            faults.add(path, namespace, f"{name} has Linkerd itself in that namespace", remedy)
        # In the names of resources; two pairs may come to the same.
        joined = f"{name}-{namespace}"
        if joined in taken:
            other, space = taken[joined]
            rule = f"resources of podinfo in {name} would have the names of those in {space} of {other}"
            rule = f"{name} has a podinfo in that namespace already" if other == name else rule
            faults.add(path, namespace, rule, remedy)
        taken.setdefault(joined, (name, namespace))


def _known(listed: list[str], path: Path, reading: Reading, names: list[str], faults: Faults) -> dict[int, str]:
    """The clusters in a list that there are, by their places in it."""
    found: dict[int, str] = {}
    for number, name in zip(reading.numbered(*path), listed, strict=True):
        if name in found.values():
            faults.add((*path, number), name, "named twice", "take one of the two out")
        elif known_cluster(name, (*path, number), names, faults):
            found[number] = name
    return found
