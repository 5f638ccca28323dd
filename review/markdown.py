"""Markdown of a review for a pull request: irreversible changes first, long parts folded."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from review import markdown_escape
from review.changes import ObjectChange, ReleaseChange, ResourceChange, Verb
from review.diff import FieldDiff
from review.markdown_escape import code_span, html_code
from review.report import OPERATIONS, Report
from review.services import COLUMNS, ServiceChange, format_cell
from review.truncation import TextPart, join_parts, truncate_parts

# GitHub's limit in characters, less the marker line of the comment. GitLab's limit is higher.
MAX_COMMENT_LENGTH = 65_536 - 336

# Longer than other lines, because the remedy is at the end of a message.
_MAX_MESSAGE_LENGTH = 1000
# Entries of a list per part, so that a comment can omit the rest of a long list.
_CHUNK_LENGTH = 50

_SIGNS = {"create": "+", "update": "~", "replace": "±", "delete": "−"}
_VERBS: Mapping[Verb, str] = {
    "added": "added",
    "changed": "changed",
    "removed": "removed",
    "replaced": "re-created",
    "kept": "left in place",
}
_NO_CLUSTER = "(no cluster)"
_OMISSION_NOTICE = "_{count} parts are omitted because they do not fit into a comment; the full review contains them._"


def render_review(report: Report) -> str:
    """Return the complete review as Markdown."""
    return join_parts(build_parts(report))


def render_comment(report: Report, limit: int = MAX_COMMENT_LENGTH) -> str:
    """Return the review as Markdown that fits into a comment.

    Args:
        report: the review.
        limit: in bytes; a text never has more characters than bytes.
    """
    return truncate_parts(build_parts(report), limit, _OMISSION_NOTICE)


def render_failure(stack: str, message: str) -> str:
    """Return the Markdown for a failed preview."""
    return join_parts(_build_failure_parts(stack, message))


def render_failure_comment(stack: str, message: str, limit: int = MAX_COMMENT_LENGTH) -> str:
    """Return the Markdown for a failed preview that fits into a comment; `limit` is in bytes."""
    return truncate_parts(_build_failure_parts(stack, message), limit, _OMISSION_NOTICE)


def build_parts(report: Report) -> list[TextPart]:
    """Return the parts of the Markdown, each with its rank."""
    return [
        *_render_head(report),
        *_render_losses(report),
        *_render_restarts(report),
        *_render_expiring(report),
        *_render_findings(report),
        *_render_topology(report),
        *_render_services(report),
        *(part for name in report.cluster_names for part in _render_cluster(report, name)),
        *_render_warnings(report),
    ]


def _build_failure_parts(stack: str, message: str) -> list[TextPart]:
    lines = message.splitlines() or ["(no output)"]
    return [
        TextPart(text=f"## {code_span(stack)}: the preview failed"),
        TextPart(text="Nothing was changed. Pulumi's output:"),
        TextPart(text=markdown_escape.code_block(lines), short=markdown_escape.code_block(lines[:20]), rank=1),
    ]


def _render_head(report: Report) -> Iterable[TextPart]:
    total = report.operations()
    if not total:
        yield TextPart(text=f"## {code_span(report.stack)}: no changes\n\n{report.unchanged} resources are unchanged.")
    else:
        counts = ", ".join(f"{total[each]} to {each}" for each in OPERATIONS if total[each])
        yield TextPart(text=f"## {code_span(report.stack)}: {counts}\n\n{report.unchanged} resources are unchanged.")
    rows = ["| cluster | resources | objects of charts and of Pulumi | restarts |", "| --- | --- | --- | --- |"]
    for name in report.cluster_names:
        changes = report.objects(name)
        verbs = Counter(change.verb for change in changes)
        objects = ", ".join(f"{verbs[verb]} {label}" for verb, label in _VERBS.items() if verbs[verb])
        unrendered = sum(1 for release in report.releases if release.cluster == name and release.failure)
        objects += (
            f"{', ' if objects and unrendered else ''}{f'{unrendered} releases not rendered' if unrendered else ''}"
        )
        operations = report.operations(name)
        resources = " ".join(f"{_SIGNS[each]}{operations[each]}" for each in OPERATIONS if operations[each])
        restarts = sum(change.restarts for change in changes)
        rows.append(
            f"| {_cluster_label(name, in_table=True)} | {resources or '–'} | {objects or '–'} | {restarts or '–'} |"
        )
    if len(rows) > 2:
        yield TextPart(text="\n".join(rows), short=f"{len(rows) - 2} clusters", rank=1)
    unreadable = {name: reason for name, reason in report.clusters.items() if reason is not None}
    if unreadable:
        lines = [
            f"- {_cluster_label(name)}: {code_span(reason, max_length=_MAX_MESSAGE_LENGTH)}"
            for name, reason in sorted(unreadable.items())
        ]
        text = "Not readable, and reviewed as `reachable: false`: nothing on them changes until they are readable."
        yield TextPart(
            text="\n".join([f"**{text}**", "", *lines]), short=f"**{len(unreadable)} clusters not readable**", rank=1
        )


def _render_losses(report: Report) -> Iterable[TextPart]:
    if report.losses:
        lines = [
            f"- {_cluster_label(loss.cluster)}: {code_span(loss.what)} {loss.operation}: {loss.why}"
            for loss in report.losses
        ]
        head = f"### Can't be undone: {len(lines)}"
        yield TextPart(text=head)
        for chunk in _split(lines):
            yield TextPart(text="\n".join(chunk), short=f"_{len(chunk)} more_", rank=1)


def _render_restarts(report: Report) -> Iterable[TextPart]:
    if report.restarts:
        yield TextPart(
            text=f"### Restarts: {len(report.restarts)}\n\nTheir pod templates change, so their pods restart."
        )
        lines = [f"- {_cluster_label(name)}: {code_span(str(change.identity))}" for name, change in report.restarts]
        for chunk in _split(lines):
            yield TextPart(text="\n".join(chunk), short=f"_{len(chunk)} more_", rank=2)


def _render_expiring(report: Report) -> Iterable[TextPart]:
    if report.expiring:
        lines = [
            f"- {code_span(each.name)}: {each.time:%Y-%m-%d}" + (", renewed by this change" if each.renewed else "")
            for each in report.expiring
        ]
        head = f"### Certificates that expire within {report.expires_within} days: {len(lines)}"
        yield TextPart(text="\n".join([head, "", *lines]), short=head, rank=2)


def _render_findings(report: Report) -> Iterable[TextPart]:
    if report.findings:
        lines = [f"- {code_span(each.text, max_length=_MAX_MESSAGE_LENGTH)}" for each in report.findings]
        yield TextPart(text=f"### Policy: {len(lines)}")
        for chunk in _split(lines):
            yield TextPart(text="\n".join(chunk), short=f"_{len(chunk)} more_", rank=2)
    if report.older_findings:
        yield TextPart(
            text=f"_Policy: {report.older_findings} more violations of unchanged resources (`python -m policy`)._"
        )


def _render_topology(report: Report) -> Iterable[TextPart]:
    before, after = report.topology
    if after is not None and before != after:
        sides = [("before", before), ("after", after)] if before else [("after", after)]
        lines = ["### Topology"]
        for label, picture in sides:
            lines += ["", f"{label}:", "", markdown_escape.code_block((picture or "").splitlines(), "mermaid")]
        yield TextPart(text="\n".join(lines), short="### Topology\n\nThe topology changes.", rank=3)


def _render_services(report: Report) -> Iterable[TextPart]:
    if not report.services:
        return
    yield TextPart(text=f"### Services: {len(report.services)}")
    head = ["| | service | cluster | " + " | ".join(COLUMNS) + " |", "| --- " * (len(COLUMNS) + 3) + "|"]
    for chunk in _split([_service_row(change) for change in report.services]):
        yield TextPart(text="\n".join([*head, *chunk]), short=f"_{len(chunk)} more_", rank=3)


def _service_row(change: ServiceChange) -> str:
    cells = [_SIGNS[change.operation], *(code_span(text, in_table=True) for text in (change.service, change.cluster))]
    for key in COLUMNS:
        # A service that is created or deleted has one side.
        sides = [format_cell(side.get(key)) for side in (change.before, change.after) if side is not None]
        texts = [code_span(text, in_table=True) if text else "–" for text in dict.fromkeys(sides)]
        cells.append(" → ".join(texts))
    return f"| {' | '.join(cells)} |"


def _render_cluster(report: Report, name: str) -> Iterable[TextPart]:
    releases = [release for release in report.releases if release.cluster == name]
    resources = [each for each in report.resources if (each.cluster or "") == name]
    if not releases and not resources:
        return
    yield TextPart(text=f"### {_cluster_label(name)}")
    for release in releases:
        yield from _render_release(release)
    if resources:
        yield from _render_resources(resources)


def _render_release(release: ReleaseChange) -> Iterable[TextPart]:
    before, after = release.charts
    chart = after or before or ""
    if before and after and before != after:
        name, _, version = after.rpartition(" ")
        # The name of an unchanged chart is not repeated.
        chart = f"{before} → {version if before.startswith(f'{name} ') else after}"
    yield TextPart(text=f"#### Release {code_span(release.name)}: {release.operation}, chart {code_span(chart)}")
    if release.failure:
        yield TextPart(
            text=f"Its objects cannot be shown:\n\n{markdown_escape.code_block(release.failure.splitlines())}"
        )
    if release.from_state:
        yield TextPart(text=f"The current objects are rendered from the stack state: {code_span(release.from_state)}")
    if release.values:
        count = len(release.values)
        yield _fold(f"{count} value{'s' if count > 1 else ''}", [_diff_block(release.values)], rank=5)
    if release.hooks:
        yield TextPart(text="Helm also runs: " + ", ".join(code_span(str(each)) for each in release.hooks))
    ranks: Mapping[Verb, int] = {"removed": 3, "changed": 4, "added": 6, "kept": 6}
    for verb, rank in ranks.items():
        changes = [change for change in release.objects if change.verb == verb]
        if changes:
            yield from _render_objects(changes, _VERBS[verb], rank)
    if not (release.objects or release.failure):
        yield TextPart(text="No object of the release changes.")


def _render_objects(changes: Sequence[ObjectChange], label: str, rank: int) -> Iterable[TextPart]:
    if not any(change.fields for change in changes):
        lines = [f"- {code_span(str(change.identity))}" for change in changes]
        yield _fold(f"{len(changes)} {label}", ["\n".join(lines)], rank=rank)
        return
    groups: dict[tuple[str, ...], list[ObjectChange]] = {}
    for change in changes:
        # Equal changes are grouped: a new version changes a label of every object.
        groups.setdefault(
            (str(change.restarts), *(each for field in change.fields for each in field.lines)), []
        ).append(change)
    for group in groups.values():
        first = group[0]
        restarts = ", restarts" if first.restarts else ""
        count = f"{len(first.fields)} field{'s' if len(first.fields) > 1 else ''}"
        # The schema of a CRD is long and least important.
        object_rank = rank + 2 if first.identity.kind == "CustomResourceDefinition" else rank
        if len(group) == 1:
            yield _fold(
                f"{label}: {count}{restarts}",
                [_diff_block(first.fields)],
                rank=object_rank,
                subject=str(first.identity),
            )
            continue
        lines = [f"- {code_span(str(change.identity))}" for change in group]
        head = f"{len(group)} {label} in the same way: {count}{restarts}"
        yield _fold(head, ["\n".join(lines), _diff_block(first.fields)], rank=object_rank)


def _render_resources(resources: Sequence[ResourceChange]) -> Iterable[TextPart]:
    """Yield the changes of resources that are not releases."""
    yield TextPart(text="#### Resources")
    for operation in ("delete", "replace", "update", "create"):
        matching = [each for each in resources if each.operation == operation]
        for each in (each for each in matching if each.fields):
            restarts = ", restarts" if each.object is not None and each.object.restarts else ""
            head = f"{operation}{restarts}"
            yield _fold(head, [_diff_block(each.fields)], rank=4, subject=f"{each.name} ({_resource_label(each)})")
        lines = [
            f"- {code_span(each.name)}: {code_span(_resource_label(each))}" for each in matching if not each.fields
        ]
        if lines:
            rank = {"delete": 3, "create": 6}.get(operation, 4)
            yield _fold(f"{len(lines)} to {operation}", ["\n".join(lines)], rank=rank)


def _render_warnings(report: Report) -> Iterable[TextPart]:
    if report.warnings:
        lines = [each for warning in report.warnings for each in warning.splitlines()]
        yield _fold(f"{len(report.warnings)} warnings of the preview", [markdown_escape.code_block(lines)], rank=5)


def _resource_label(resource: ResourceChange) -> str:
    if resource.object is not None:
        return str(resource.object.identity)
    return resource.type


def _fold(summary: str, content: Sequence[str], *, rank: int, subject: str = "") -> TextPart:
    """Return a part that a click unfolds.

    Args:
        summary: text of this program that is always visible.
        content: folded paragraphs.
        rank: rank of the part.
        subject: foreign text before the summary; it is escaped.
    """
    body = "\n\n".join(content)
    head = f"{html_code(subject)} {summary}" if subject else summary
    return TextPart(
        text=f"<details><summary>{head}</summary>\n\n{body}\n\n</details>",
        short=f"{code_span(subject)} {summary} _(omitted)_" if subject else f"{summary} _(omitted)_",
        rank=rank,
    )


def _diff_block(fields: Iterable[FieldDiff]) -> str:
    return markdown_escape.code_block([each for field in fields for each in field.lines], "diff")


def _cluster_label(cluster: str, *, in_table: bool = False) -> str:
    return code_span(cluster, in_table=in_table) if cluster else _NO_CLUSTER


def _split(lines: Sequence[str], size: int = _CHUNK_LENGTH) -> Iterable[Sequence[str]]:
    for start in range(0, len(lines), size):
        yield lines[start : start + size]
