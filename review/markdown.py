"""The review as Markdown for a pull request: what can't be undone first, what is long folded."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from review import markdown_escape
from review.changes import Change, ReleaseChange, ResourceChange, Verb
from review.diff import Field
from review.markdown_escape import code, markup
from review.report import OPERATIONS, Report
from review.truncation import TextPart, truncate_parts

# What GitHub takes as one comment, in characters, less the line by which it is found again. GitLab takes more.
LIMIT = 65_536 - 336

# Characters of a message, at whose end stands what to do.
_REMEDY = 1000

_SIGNS = {"create": "+", "update": "~", "replace": "±", "delete": "−"}
_VERBS: Mapping[Verb, str] = {
    "added": "added",
    "changed": "changed",
    "removed": "removed",
    "replaced": "made anew",
    "kept": "left in place",
}
_NO_CLUSTER = "(no cluster)"
_CUT = "_{count} parts are left out here because a comment can't hold them; the full review has them._"


def text(report: Report) -> str:
    """All of it."""
    return truncate_parts(parts(report), 2**40, "")


def comment(report: Report, limit: int = LIMIT) -> str:
    """As much of it as a comment holds.

    Args:
        report: the review.
        limit: in characters; bytes are counted, of which there are never fewer.
    """
    return truncate_parts(parts(report), limit, _CUT)


def failure(stack: str, message: str, limit: int = LIMIT) -> str:
    """What is said where there is no preview to review."""
    lines = message.splitlines() or ["(nothing was said)"]
    return truncate_parts(
        [
            TextPart(text=f"## {code(stack)}: the preview failed"),
            TextPart(text="Nothing was changed. Pulumi said:"),
            TextPart(text=markdown_escape.block(lines), short=markdown_escape.block(lines[:20]), rank=1),
        ],
        limit,
        _CUT,
    )


def parts(report: Report) -> list[TextPart]:
    """The text in pieces, each with its rank."""
    return [
        *_head(report),
        *_losses(report),
        *_restarts(report),
        *_expiring(report),
        *_findings(report),
        *_topology(report),
        *(part for name in report.names for part in _cluster(report, name)),
        *_warnings(report),
    ]


def _head(report: Report) -> Iterable[TextPart]:
    total = report.operations()
    if not total:
        yield TextPart(text=f"## {code(report.stack)}: no changes\n\n{report.unchanged} resources stay as they are.")
    else:
        counts = ", ".join(f"{total[each]} to {each}" for each in OPERATIONS if total[each])
        yield TextPart(text=f"## {code(report.stack)}: {counts}\n\n{report.unchanged} resources stay as they are.")
    rows = ["| cluster | resources | objects of charts and of Pulumi | restarts |", "| --- | --- | --- | --- |"]
    for name in report.names:
        changes = report.objects(name)
        verbs = Counter(change.verb for change in changes)
        objects = ", ".join(f"{verbs[verb]} {label}" for verb, label in _VERBS.items() if verbs[verb])
        unclear = sum(1 for release in report.releases if release.cluster == name and release.failure)
        objects += f"{', ' if objects and unclear else ''}{f'{unclear} releases not rendered' if unclear else ''}"
        operations = report.operations(name)
        resources = " ".join(f"{_SIGNS[each]}{operations[each]}" for each in OPERATIONS if operations[each])
        restarts = sum(change.restarts for change in changes)
        rows.append(f"| {_name(name, cell=True)} | {resources or '–'} | {objects or '–'} | {restarts or '–'} |")
    if len(rows) > 2:
        yield TextPart(text="\n".join(rows), short=f"{len(rows) - 2} clusters", rank=1)
    unseen = {name: why for name, why in report.clusters.items() if why is not None}
    if unseen:
        lines = [f"- {_name(name)}: {code(why, longest=_REMEDY)}" for name, why in sorted(unseen.items())]
        told = "Not seen, and reviewed as if declared `reachable: false`: nothing on them changes until they are back."
        yield TextPart(
            text="\n".join([f"**{told}**", "", *lines]), short=f"**{len(unseen)} clusters not seen**", rank=1
        )


def _losses(report: Report) -> Iterable[TextPart]:
    if report.losses:
        lines = [f"- {_name(loss.cluster)}: {code(loss.what)} {loss.operation}: {loss.why}" for loss in report.losses]
        head = f"### Can't be undone: {len(lines)}"
        yield TextPart(text=head)
        for chunk in _chunks(lines):
            yield TextPart(text="\n".join(chunk), short=f"_{len(chunk)} more_", rank=1)


def _restarts(report: Report) -> Iterable[TextPart]:
    if report.restarts:
        yield TextPart(
            text=f"### Restarts: {len(report.restarts)}\n\nTheir pod templates change, so their pods start anew."
        )
        lines = [f"- {_name(name)}: {code(str(change.identity))}" for name, change in report.restarts]
        for chunk in _chunks(lines):
            yield TextPart(text="\n".join(chunk), short=f"_{len(chunk)} more_", rank=2)


def _expiring(report: Report) -> Iterable[TextPart]:
    if report.expiring:
        lines = [
            f"- {code(each.what)}: {each.ends:%Y-%m-%d}" + (", renewed by this change" if each.renewed else "")
            for each in report.expiring
        ]
        head = f"### Certificates that end within {report.expires_within} days: {len(lines)}"
        yield TextPart(text="\n".join([head, "", *lines]), short=head, rank=2)


def _findings(report: Report) -> Iterable[TextPart]:
    if report.findings:
        lines = [f"- {code(each.text, longest=_REMEDY)}" for each in report.findings]
        yield TextPart(text=f"### Policy: {len(lines)}")
        for chunk in _chunks(lines):
            yield TextPart(text="\n".join(chunk), short=f"_{len(chunk)} more_", rank=2)
    if report.older_findings:
        yield TextPart(
            text=f"_Policy: {report.older_findings} more of resources that don't change (`python -m policy`)._"
        )


def _topology(report: Report) -> Iterable[TextPart]:
    before, after = report.topology
    if after is not None and before != after:
        sides = [("before", before), ("after", after)] if before else [("after", after)]
        lines = ["### Topology"]
        for label, picture in sides:
            lines += ["", f"{label}:", "", markdown_escape.block((picture or "").splitlines(), "mermaid")]
        yield TextPart(text="\n".join(lines), short="### Topology\n\nIt changes.", rank=3)


def _cluster(report: Report, name: str) -> Iterable[TextPart]:
    releases = [release for release in report.releases if release.cluster == name]
    resources = [each for each in report.resources if (each.cluster or "") == name]
    if not releases and not resources:
        return
    yield TextPart(text=f"### {_name(name)}")
    for release in releases:
        yield from _release(release)
    if resources:
        yield from _resources(resources)


def _release(release: ReleaseChange) -> Iterable[TextPart]:
    before, after = release.charts
    chart = after or before or ""
    if before and after and before != after:
        name, _, version = after.rpartition(" ")
        # Of the same chart, the version alone is news.
        chart = f"{before} → {version if before.startswith(f'{name} ') else after}"
    yield TextPart(text=f"#### Release {code(release.name)}: {release.operation}, chart {code(chart)}")
    if release.failure:
        yield TextPart(text=f"Its objects can't be shown:\n\n{markdown_escape.block(release.failure.splitlines())}")
    if release.from_state:
        yield TextPart(text=f"What is there now is taken from the stack's state: {code(release.from_state)}")
    if release.values:
        count = len(release.values)
        yield _folded(f"{count} value{'s' if count > 1 else ''}", [_block(release.values)], rank=5)
    if release.hooks:
        yield TextPart(text="Helm also runs: " + ", ".join(code(str(each)) for each in release.hooks))
    ranks: Mapping[Verb, int] = {"removed": 3, "changed": 4, "added": 6, "kept": 6}
    for verb, rank in ranks.items():
        changes = [change for change in release.objects if change.verb == verb]
        if changes:
            yield from _objects(changes, _VERBS[verb], rank)
    if not (release.objects or release.failure):
        yield TextPart(text="None of its objects change.")


def _objects(changes: Sequence[Change], label: str, rank: int) -> Iterable[TextPart]:
    if not any(change.fields for change in changes):
        lines = [f"- {code(str(change.identity))}" for change in changes]
        yield _folded(f"{len(changes)} {label}", ["\n".join(lines)], rank=rank)
        return
    alike: dict[tuple[str, ...], list[Change]] = {}
    for change in changes:
        # What changes in the same way is told once: a new version changes a label of everything.
        alike.setdefault((str(change.restarts), *(each for field in change.fields for each in field.lines)), []).append(
            change
        )
    for same in alike.values():
        first = same[0]
        restarts = ", restarts" if first.restarts else ""
        count = f"{len(first.fields)} field{'s' if len(first.fields) > 1 else ''}"
        # A CRD's schema is long, and the least of what a reviewer looks at.
        least = rank + 2 if first.identity.kind == "CustomResourceDefinition" else rank
        if len(same) == 1:
            yield _folded(
                f"{label}: {count}{restarts}", [_block(first.fields)], rank=least, subject=str(first.identity)
            )
            continue
        lines = [f"- {code(str(change.identity))}" for change in same]
        head = f"{len(same)} {label} in the same way: {count}{restarts}"
        yield _folded(head, ["\n".join(lines), _block(first.fields)], rank=least)


def _resources(resources: Sequence[ResourceChange]) -> Iterable[TextPart]:
    """What Pulumi itself makes, as it sees it."""
    yield TextPart(text="#### Resources")
    for operation in ("delete", "replace", "update", "create"):
        chosen = [each for each in resources if each.operation == operation]
        shown = [each for each in chosen if each.fields]
        for each in shown:
            restarts = ", restarts" if each.object is not None and each.object.restarts else ""
            head = f"{operation}{restarts}"
            yield _folded(head, [_block(each.fields)], rank=4, subject=f"{each.name} ({_kind(each)})")
        lines = [f"- {code(each.name)}: {code(_kind(each))}" for each in chosen if not each.fields]
        if lines:
            rank = {"delete": 3, "create": 6}.get(operation, 4)
            yield _folded(f"{len(lines)} to {operation}", ["\n".join(lines)], rank=rank)


def _warnings(report: Report) -> Iterable[TextPart]:
    if report.warnings:
        lines = [each for warning in report.warnings for each in warning.splitlines()]
        yield _folded(f"{len(report.warnings)} warnings of the preview", [markdown_escape.block(lines)], rank=5)


def _kind(resource: ResourceChange) -> str:
    if resource.object is not None:
        return str(resource.object.identity)
    return resource.type


def _folded(summary: str, content: Sequence[str], *, rank: int, subject: str = "") -> TextPart:
    """A part that is unfolded by a click.

    Args:
        summary: what is seen before that, in our words.
        content: what is folded.
        rank: of the part.
        subject: what it is about, in somebody else's words.
    """
    body = "\n\n".join(content)
    head = f"{markup(subject)} {summary}" if subject else summary
    return TextPart(
        text=f"<details><summary>{head}</summary>\n\n{body}\n\n</details>",
        short=f"{code(subject)} {summary} _(left out)_" if subject else f"{summary} _(left out)_",
        rank=rank,
    )


def _block(fields: Iterable[Field]) -> str:
    return markdown_escape.block([each for field in fields for each in field.lines], "diff")


def _name(cluster: str, *, cell: bool = False) -> str:
    return code(cluster, cell=cell) if cluster else _NO_CLUSTER


def _chunks(lines: Sequence[str], size: int = 50) -> Iterable[Sequence[str]]:
    for start in range(0, len(lines), size):
        yield lines[start : start + size]
