"""Check of the clusters' identities against the stack state.

A cluster is the UID of its namespace `kube-system` (`mesh.kube.cluster_uid`). A name or a context can lead to another
cluster than at the last `up`. Without this check, the update would install the mesh there, and delete it elsewhere.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence

from mesh.config import ClusterSettings
from mesh.kube.cluster_uid import short_uid
from mesh.preflight.finding import Finding, Severity
from mesh.preflight.target import CheckTarget
from mesh.stack_identity import RecordedCluster, StackIdentity


def check(
    targets: Sequence[CheckTarget], uids: Mapping[str, str], identity: StackIdentity, names: Sequence[str]
) -> dict[str, list[Finding]]:
    """Return the findings about each cluster that is not the one in the stack state, by name.

    Args:
        targets: the reachable clusters.
        uids: the UIDs of those that could be read, by name.
        identity: the clusters in the stack state.
        names: names of all clusters in the stack file.
    """
    findings: dict[str, list[Finding]] = {}
    rebuilt = {target.name for target in targets if _is_rebuilt(target, uids, identity)}
    for target in targets:
        uid = uids.get(target.name)
        if uid is None:
            continue
        # The same cluster under two names makes every other comparison wrong.
        about_target = list(_check_duplicate(target, uid, targets, uids)) or list(
            _check_record(target, uid, identity, names, rebuilt)
        )
        if about_target:
            findings[target.name] = about_target
    return findings


def check_names(clusters: Sequence[ClusterSettings], identity: StackIdentity) -> Iterator[Finding]:
    """Yield findings about renamed clusters that need no request, for stacks without the other checks.

    Args:
        clusters: the clusters of the stack file.
        identity: the clusters in the stack state.
    """
    names = {cluster.name for cluster in clusters}
    for cluster in clusters:
        recorded = identity.clusters.get(cluster.name)
        former = identity.clusters.get(cluster.renamed_from) if cluster.renamed_from is not None else None
        access = cluster.context.name, cluster.kubeconfig
        same_access = [each for each in identity.clusters.values() if (each.context, each.kubeconfig) == access]
        path, value = f"clusters.{cluster.name}", f"context {cluster.context.name}"
        unfinished = _unfinished_rename(cluster.name, cluster.renamed_from, recorded, former)
        if unfinished is not None:
            rule, remedy = _unfinished_texts(*unfinished)
            yield Finding(path=path, value=value, rule=rule, remedy=remedy, severity=Severity.ERROR)
        elif recorded is None and former is None:
            for other in same_access:
                if other.name not in names:
                    rule, remedy = _new_name_texts(cluster.name, other, can_rename=cluster.cilium is None)
                    yield Finding(path=path, value=value, rule=rule, remedy=remedy, severity=Severity.ERROR)


def check_removed(recorded: RecordedCluster, uid: str) -> Iterator[Finding]:
    """Yield a finding if a cluster that was removed from the stack file is no longer at its context.

    Args:
        recorded: the cluster in the stack state.
        uid: UID of the cluster at its context.
    """
    if recorded.uid not in (None, uid):
        yield Finding(
            path=f"clusters.{recorded.name}",
            value=f"context {recorded.context}",
            rule=(
                f"removed from the stack file, but its context now leads to another cluster ({short_uid(uid)} instead "
                f"of {short_uid(recorded.uid or '')}), and this update would delete its resources there"
            ),
            remedy=(
                "correct the context in the kubeconfig; if the cluster no longer exists, put it back with "
                "`reachable: never`, run `pulumi up`, then remove it"
            ),
            severity=Severity.ERROR,
        )


def _check_duplicate(
    target: CheckTarget, uid: str, targets: Sequence[CheckTarget], uids: Mapping[str, str]
) -> Iterator[Finding]:
    others = [other for other in targets if other is not target and uids.get(other.name) == uid]
    if others:
        labels = ", ".join(f"{other.path} ({other.server})" for other in others)
        yield target.finding(
            f"the same cluster as {labels}: both lead to {short_uid(uid)}, and a mesh needs each cluster once",
            f"correct {target.path}.context or the kubeconfig, or remove one of them",
        )


def _is_rebuilt(target: CheckTarget, uids: Mapping[str, str], identity: StackIdentity) -> bool:
    expected = identity.find(target.name, target.renamed_from)
    uid = uids.get(target.name)
    return expected is not None and uid is not None and expected.uid not in (None, uid)


def _check_record(
    target: CheckTarget, uid: str, identity: StackIdentity, names: Sequence[str], rebuilt: Collection[str]
) -> Iterator[Finding]:
    other = identity.find_by_uid(uid)
    recorded = identity.clusters.get(target.name)
    former = identity.clusters.get(target.renamed_from) if target.renamed_from is not None else None
    if recorded is not None and former is not None and recorded.uid != former.uid:
        yield target.finding(
            f"the stack already has another cluster of the new name ({_uid_label(recorded)})",
            "remove that cluster or rename it, run `pulumi up`, then rename this one",
            value=target.renamed_from,
            setting="renamedFrom",
        )
        return
    expected = recorded or former
    unfinished = _unfinished_rename(target.name, target.renamed_from, recorded, former)
    if unfinished is not None:
        yield target.finding(*_unfinished_texts(*unfinished))
    elif expected is None and other is not None and other.name not in names:
        yield target.finding(*_new_name_texts(target.name, other, can_rename=target.cilium is None))
    elif other is not None and other is not expected:
        yield target.finding(
            f"this is cluster {other.name} of this stack ({short_uid(uid)}){_expectation(expected)}",
            f"correct {target.path}.context or the kubeconfig; to rename clusters, use `renamedFrom`",
        )
    elif expected is not None and expected.uid not in (None, uid) and not _is_successor(target, expected):
        wrong = f", and {target.path}.replaces names {target.replaces}" if target.replaces is not None else ""
        old = _uid_label(expected)
        yield target.finding(
            f"another cluster than at the last `up`: {short_uid(uid)} instead of {old}{wrong}",
            f'if {old} no longer exists and this is its rebuilt successor, set {target.path}.replaces: "{old}"; '
            f"otherwise correct {target.path}.context or the kubeconfig",
        )
    elif former is not None and recorded is None and target.unreachable_peers:
        yield target.finding(
            f"its links to unreachable clusters ({', '.join(target.unreachable_peers)}) cannot be renamed",
            "rename the cluster when they are reachable",
            value=former.name,
            setting="renamedFrom",
        )
    elif former is not None and recorded is None and (sources := [each for each in target.sources if each in rebuilt]):
        # Helm would fail to uninstall the old link's release, which a rebuilt source does not have.
        yield target.finding(
            f"sources of its links were rebuilt ({', '.join(sources)}), and the old links cannot be removed there",
            "run `pulumi up` with `replaces` first, and rename the cluster in another update",
            value=former.name,
            setting="renamedFrom",
        )
    else:
        yield from _announce(target, uid, expected, former if recorded is None else None)


def _unfinished_rename(
    name: str, renamed_from: str | None, recorded: RecordedCluster | None, former: RecordedCluster | None
) -> tuple[str, str] | None:
    """Return the new and the old name of an interrupted rename that the stack file neither continues nor takes back."""
    cluster = recorded or former
    if cluster is None or cluster.unfinished_rename is None:
        return None
    old_name = cluster.unfinished_rename
    is_continued = recorded is not None and renamed_from == old_name
    is_taken_back = recorded is None and name == old_name
    return None if is_continued or is_taken_back else (cluster.name, old_name)


def _new_name_texts(name: str, recorded: RecordedCluster, *, can_rename: bool) -> tuple[str, str]:
    """Return rule and remedy for a cluster of the stack state that the stack file has under a new name."""
    rule = (
        f"cluster {recorded.name} of this stack ({_uid_label(recorded)}) under a new name; under the new name, "
        "everything would be created, then deleted as part of the old one"
    )
    keep_name = "keep the old name and set its `context`"
    return rule, f"set clusters.{name}.renamedFrom: {recorded.name}, or {keep_name}" if can_rename else keep_name


def _unfinished_texts(current: str, former: str) -> tuple[str, str]:
    return (
        f"the rename of {former} to {current} was interrupted, and the stack state has resources with both names",
        f"set clusters.{current}.renamedFrom: {former}, and run `pulumi up` before any other change of the name",
    )


def _is_successor(target: CheckTarget, expected: RecordedCluster) -> bool:
    return target.replaces is not None and expected.uid is not None and expected.uid.startswith(target.replaces)


def _announce(
    target: CheckTarget, uid: str, expected: RecordedCluster | None, former: RecordedCluster | None
) -> Iterator[Finding]:
    """Yield a warning about the effects of `renamedFrom` or `replaces` in this update."""
    if former is not None:
        mirrors = (
            f"; in {', '.join(target.sources)}, new mirror services `<service>-{target.name}` are created, and those "
            f"with `-{former.name}` are deleted at the end"
            if target.sources
            else ""
        )
        yield target.finding(
            f"renamed: all resources of {former.name} ({short_uid(uid)}) are kept{mirrors}",
            "let clients use the new names, then remove renamedFrom"
            if mirrors
            else "remove renamedFrom after the `up`",
            value=former.name,
            setting="renamedFrom",
            severity=Severity.WARNING,
        )
    if expected is not None and expected.uid not in (None, uid):
        yield target.finding(
            f"rebuilt: everything is created on {short_uid(uid)}, and nothing is asked of {_uid_label(expected)}",
            "remove replaces after the `up`",
            value=target.replaces,
            setting="replaces",
            severity=Severity.WARNING,
        )


def _expectation(expected: RecordedCluster | None) -> str:
    return f", and the stack file's name stands for {_uid_label(expected)}" if expected is not None else ""


def _uid_label(recorded: RecordedCluster) -> str:
    return short_uid(recorded.uid) if recorded.uid is not None else "UID unknown"
