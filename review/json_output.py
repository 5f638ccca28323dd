"""JSON of a review for programs, with placeholders for secrets."""

from __future__ import annotations

from typing import Any

from review.changes import ObjectChange
from review.diff import MISSING, FieldDiff
from review.redaction import to_plain
from review.report import Report


def build_data(report: Report) -> dict[str, Any]:
    """Return the JSON value of a complete review."""
    return {
        "stack": report.stack,
        "changes": dict(sorted(report.operations().items())),
        "unchanged": report.unchanged,
        "clusters": {
            name: {
                "unseen": report.clusters.get(name),
                "objects": [_build_object(change) for change in report.objects(name)],
                "releases": [
                    {
                        "name": release.name,
                        "operation": release.operation,
                        "charts": list(release.charts),
                        "values": [_build_field(field) for field in release.values],
                        "fromState": release.from_state,
                        "failure": release.failure,
                    }
                    for release in report.releases
                    if release.cluster == name
                ],
            }
            for name in report.cluster_names
            if name
        },
        "resources": [
            {
                "cluster": each.cluster,
                "operation": each.operation,
                "type": each.type,
                "name": each.name,
                "fields": [_build_field(field) for field in each.fields],
            }
            for each in report.resources
        ],
        "lost": [vars(loss) for loss in report.losses],
        "restarts": [{"cluster": name, "object": str(change.identity)} for name, change in report.restarts],
        "expiring": [
            {"certificate": each.name, "ends": each.time.isoformat(), "renewed": each.renewed}
            for each in report.expiring
        ],
        "policy": [{"mandatory": each.mandatory, "text": each.text} for each in report.findings],
        "topology": list(report.topology),
        "services": [
            {"service": each.service, "cluster": each.cluster, "before": each.before, "after": each.after}
            for each in report.services
        ],
        "warnings": list(report.warnings),
    }


def _build_object(change: ObjectChange) -> dict[str, Any]:
    identity = change.identity
    return {
        "verb": change.verb,
        "kind": identity.kind,
        "group": identity.group,
        "namespace": identity.namespace,
        "name": identity.name,
        "restarts": change.restarts,
        "fields": [_build_field(field) for field in change.fields],
        "before": to_plain(change.before),
        "after": to_plain(change.after),
    }


def _build_field(field: FieldDiff) -> dict[str, Any]:
    sides = {"before": field.before, "after": field.after}
    return {"path": field.path, **{key: to_plain(value) for key, value in sides.items() if value is not MISSING}}
