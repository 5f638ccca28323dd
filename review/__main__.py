"""Preview a stack and print a Markdown review of the changes inside its clusters.

The review runs `pulumi preview`, renders each Helm release before and after the change, and compares the objects.
Nothing is changed.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

from mesh import topology
from mesh.broken_pipe import ignore_broken_pipe
from mesh.helm_cli import HelmNotInstalledError, find_helm
from mesh.kube.connection import Access
from mesh.paths import PROJECT_ROOT
from mesh.pulumi_constants import KUBERNETES_PROVIDER_TYPE
from mesh.redaction import SECRET
from review import changes, cluster_snapshot, json_output, markdown, preview, release_objects, report, services, stack
from review.cluster_snapshot import ClusterSnapshot
from review.helm_template import Renderer
from review.objects import NamespacedLookup
from review.preview import PreviewFailedError
from review.redaction import redact_text

# Equal to the renewal period of the certificates that the program creates.
EXPIRES_WITHIN_DAYS = 60
_DEFAULT_TIMEOUT_S = 5.0

ProgressCallback = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class ReviewRequest:
    """Options of a review."""

    stack: str
    config_file: Path
    expires_within: int = EXPIRES_WITHIN_DAYS  # days


def main(arguments: list[str]) -> int:
    """Run the command.

    Returns:
        The exit code: 0 for a review, 1 if the preview failed, 2 if a tool is missing or a file is not writable.
    """
    options = _parse_arguments(arguments)
    name = options.stack.rpartition("/")[2]
    request = ReviewRequest(
        stack=options.stack,
        config_file=(options.config_file or PROJECT_ROOT / f"Pulumi.{name}.yaml").absolute(),
        expires_within=options.expires_within,
    )
    code = 0
    try:
        result = review(request, os.environ, lambda line: print(line, file=sys.stderr, flush=True))
        full, short, data = (
            markdown.render_review(result),
            markdown.render_comment(result),
            json_output.build_data(result),
        )
    except PreviewFailedError as error:
        message = redact_text(str(error))
        full = markdown.render_failure(request.stack, message)
        short = markdown.render_failure_comment(request.stack, message)
        data, code = {"stack": request.stack, "failure": message}, 1
        print(f"error: {message}", file=sys.stderr)
    except HelmNotInstalledError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted; nothing was changed", file=sys.stderr)
        return 130
    as_json = json.dumps(data, indent=2, ensure_ascii=False) + "\n"
    try:
        for path, content in ((options.output, full), (options.comment, short), (options.json, as_json)):
            if path is not None:
                path.write_text(content)
    except OSError as error:
        print(f"error: {error.filename}: {error.strerror}; name a file in an existing folder", file=sys.stderr)
        return 2
    if options.output is None and code == 0:
        with ignore_broken_pipe():
            print(full)
    return code


def _parse_arguments(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m review", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--stack", "-s", required=True, help="name of the stack")
    parser.add_argument("--config-file", type=Path, metavar="FILE", help="stack file (default: Pulumi.<stack>.yaml)")
    parser.add_argument("--output", type=Path, metavar="FILE", help="write the full Markdown to FILE, not to stdout")
    parser.add_argument(
        "--comment",
        type=Path,
        metavar="FILE",
        help=f"write Markdown of at most {markdown.MAX_COMMENT_LENGTH} characters to FILE",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the review as JSON to FILE")
    parser.add_argument(
        "--expires-within",
        type=int,
        default=EXPIRES_WITHIN_DAYS,
        metavar="DAYS",
        help="list certificates that expire within DAYS (default: %(default)s)",
    )
    return parser.parse_args(arguments)


def review(request: ReviewRequest, environment: Mapping[str, str], report_progress: ProgressCallback) -> report.Report:
    """Return the review of a stack.

    Args:
        request: options of the review.
        environment: the environment of Pulumi and Helm.
        report_progress: function that receives one line per step.

    Raises:
        PreviewFailedError: the preview failed.
        HelmNotInstalledError: no recent Helm is on PATH.
    """
    helm = find_helm(environment.get("PATH"))
    with tempfile.TemporaryDirectory(prefix="review-") as scratch:
        folder = Path(scratch)
        reviewed = stack.read_stack(request.stack, request.config_file, folder, environment)
        snapshots: dict[str, ClusterSnapshot] = {}
        if reviewed.settings is not None:
            clusters = reviewed.settings.clusters
            report_progress(f"reading {', '.join(cluster.name for cluster in clusters)}")
            snapshots = cluster_snapshot.inspect_clusters(clusters, _timeout(reviewed))
            reachable = {cluster.name for cluster in clusters if cluster.reachable}
            if failed := sorted(name for name in reachable if snapshots[name].error is not None):
                report_progress(f"cannot read {', '.join(failed)}; continuing without")
                stack.declare_unreachable(reviewed, failed)
        report_progress(f"pulumi preview of {request.stack}")
        try:
            planned = preview.run_preview(request.stack, reviewed.file, folder, environment)
        except PreviewFailedError as error:
            raise PreviewFailedError(redact_text(str(error), reviewed.secrets)) from None
        snapshots |= _inspect_removed_clusters(planned, snapshots, _timeout(reviewed))
        steps = release_objects.find_changed_releases(planned)
        if steps:
            report_progress(f"rendering {len(steps)} releases")
        inspector = release_objects.ReleaseInspector(planned, snapshots, Renderer(helm, folder, environment))
        with ThreadPoolExecutor(max_workers=min(4, os.cpu_count() or 1)) as pool:
            releases = list(pool.map(inspector.inspect, steps))
    findings, older_findings = report.check_policies(planned)
    lookups: dict[str, NamespacedLookup] = {name: each.api_resources.is_namespaced for name, each in snapshots.items()}
    return report.Report(
        stack=request.stack,
        clusters={name: each.error for name, each in sorted(snapshots.items())},
        resources=tuple(changes.compare_resources(planned, lookups, reviewed.secrets)),
        releases=tuple(changes.compare_release(each, reviewed.secrets) for each in releases),
        topology=_render_topologies(planned, reviewed),
        services=tuple(services.compare_services(planned, reviewed.settings)),
        expiring=tuple(report.find_expiring_certificates(planned, request.expires_within)),
        expires_within=request.expires_within,
        findings=tuple(replace(each, text=redact_text(each.text, reviewed.secrets)) for each in findings),
        older_findings=older_findings,
        warnings=tuple(redact_text(warning, reviewed.secrets) for warning in planned.warnings),
        unchanged=sum(step.operation == "same" for step in planned.steps),
    )


def _timeout(reviewed: stack.ReviewedStack) -> float:
    return reviewed.settings.preflight.timeout if reviewed.settings is not None else _DEFAULT_TIMEOUT_S


def _inspect_removed_clusters(
    planned: preview.Preview, snapshots: Mapping[str, ClusterSnapshot], timeout: float
) -> Mapping[str, ClusterSnapshot]:
    """Return snapshots of the clusters that are only in the stack state, with the credentials from there."""
    providers = [
        step
        for step in planned.steps
        if step.type == KUBERNETES_PROVIDER_TYPE and step.name not in snapshots and step.before is not None
    ]
    accesses, unreadable = {}, {}
    for step in providers:
        inputs = step.state.inputs
        kubeconfig = str(inputs.get("kubeconfig") or "")
        if kubeconfig == SECRET:
            reason = "its kubeconfig is a secret in the stack state"
            unreadable[step.name] = ClusterSnapshot(name=step.name, error=reason)
        else:
            accesses[step.name] = Access(context=str(inputs.get("context") or ""), kubeconfig=kubeconfig)
    return {**cluster_snapshot.take_snapshots(accesses, timeout), **unreadable}


def _render_topologies(planned: preview.Preview, reviewed: stack.ReviewedStack) -> tuple[str | None, str | None]:
    """Return the topology of the stack state and of the stack file, as Mermaid."""
    step = planned.stack
    before = step.before.outputs.get("topology") if step is not None and step.before is not None else None
    if reviewed.settings is None:
        return before, None
    links = reviewed.settings.links
    unreachable = set(reviewed.settings.unreachable_clusters)
    pending = [link for link in links if {link.source, link.target} & unreachable]
    return before, topology.render_mermaid([cluster.name for cluster in reviewed.settings.clusters], links, pending)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
