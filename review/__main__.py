"""`python -m review --stack STACK`: preview a stack, and tell in Markdown what will change inside its clusters."""

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

from hack.toolchain.cache import NotInstalled
from hack.toolchain.helm import program
from mesh import topology
from mesh.kube.client import Access
from mesh.paths import PROJECT_ROOT
from policy.planned_resource import SECRET
from review import changes, cluster_snapshot, json_output, markdown, preview, release_objects, report, stack
from review.helm_template import Renderer
from review.objects import Scope
from review.pulumi_cli import PreviewFailed
from review.redaction import scrubbed

# Days before their end within which certificates are told of: as long as made ones are renewed before theirs.
EXPIRES_WITHIN = 60

Say = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class Request:
    """What is to be reviewed."""

    stack: str
    config_file: Path
    expires_within: int = EXPIRES_WITHIN  # days


def main(arguments: list[str]) -> int:
    """Run one review; 0 if there is one, 1 if the preview failed, 2 if something is missing here."""
    parser = argparse.ArgumentParser(prog="python -m review", description=__doc__)
    parser.add_argument("--stack", "-s", required=True, help="the stack's name")
    parser.add_argument("--config-file", type=Path, help="its stack file (Pulumi.<stack>.yaml)")
    parser.add_argument("--output", type=Path, help="write the full Markdown here, and not to standard output")
    parser.add_argument("--comment", type=Path, help=f"write Markdown of at most {markdown.LIMIT} characters here")
    parser.add_argument("--json", type=Path, help="write what a program can read here")
    parser.add_argument(
        "--expires-within",
        type=int,
        default=EXPIRES_WITHIN,
        metavar="DAYS",
        help="tell of certificates that end by then",
    )
    chosen = parser.parse_args(arguments)
    name = chosen.stack.rpartition("/")[2]
    request = Request(
        stack=chosen.stack,
        config_file=(chosen.config_file or PROJECT_ROOT / f"Pulumi.{name}.yaml").absolute(),
        expires_within=chosen.expires_within,
    )
    code = 0
    try:
        found = review(request, os.environ, lambda line: print(line, file=sys.stderr, flush=True))
        full, short, data = markdown.text(found), markdown.comment(found), json_output.data(found)
    except PreviewFailed as error:
        message = scrubbed(str(error))
        full = markdown.failure(request.stack, message, 2**40)
        short, data, code = markdown.failure(request.stack, message), {"stack": request.stack, "failure": message}, 1
        print(f"error: {message}", file=sys.stderr)
    except NotInstalled as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted; nothing was changed", file=sys.stderr)
        return 130
    as_json = json.dumps(data, indent=2, ensure_ascii=False) + "\n"
    try:
        for path, content in ((chosen.output, full), (chosen.comment, short), (chosen.json, as_json)):
            if path is not None:
                path.write_text(content)
    except OSError as error:
        print(f"error: {error.filename}: {error.strerror}; name a file in a folder that is there", file=sys.stderr)
        return 2
    if chosen.output is None and code == 0:
        print(full)
    return code


def review(request: Request, environment: Mapping[str, str], say: Say) -> report.Report:
    """A whole review.

    Args:
        request: what is to be reviewed.
        environment: of all that is run for it.
        say: told what is being done.

    Raises:
        PreviewFailed: there is no preview.
        NotInstalled: there is no Helm.
    """
    helm = program()
    with tempfile.TemporaryDirectory(prefix="review-") as scratch:
        folder = Path(scratch)
        read = stack.read(request.stack, request.config_file, folder, environment)
        seen: dict[str, cluster_snapshot.ClusterSnapshot] = {}
        if read.settings is not None:
            say(f"asking {', '.join(cluster.name for cluster in read.settings.clusters)}")
            seen = cluster_snapshot.inspect_clusters(read.settings.clusters, _timeout(read))
            reachable = {cluster.name for cluster in read.settings.clusters if cluster.reachable}
            if away := sorted(name for name in reachable if seen[name].unseen is not None):
                say(f"can't see {', '.join(away)}; going on without")
                stack.without(read, away)
        say(f"pulumi preview of {request.stack}")
        try:
            found = preview.run(request.stack, read.file, folder, environment)
        except PreviewFailed as error:
            raise PreviewFailed(scrubbed(str(error), read.secrets)) from None
        seen |= _former(found, seen, _timeout(read))
        changed = release_objects.changed(found)
        if changed:
            say(f"rendering {len(changed)} releases")
        looking = release_objects.Releases(found, seen, Renderer(helm, folder, environment))
        with ThreadPoolExecutor(max_workers=min(4, os.cpu_count() or 1)) as pool:
            behind = list(pool.map(looking.look, changed))
    broken, older = report.findings(found)
    scopes: dict[str, Scope] = {name: each.offer.namespaced for name, each in seen.items()}
    return report.Report(
        stack=request.stack,
        clusters={name: each.unseen for name, each in sorted(seen.items())},
        resources=tuple(changes.of_resources(found, scopes, read.secrets)),
        releases=tuple(changes.of_release(each, read.secrets) for each in behind),
        topology=_pictures(found, read),
        expiring=tuple(report.expiring(found, request.expires_within)),
        expires_within=request.expires_within,
        findings=tuple(replace(each, text=scrubbed(each.text, read.secrets)) for each in broken),
        older_findings=older,
        warnings=tuple(scrubbed(warning, read.secrets) for warning in found.warnings),
        unchanged=sum(step.operation == "same" for step in found.steps),
    )


def _timeout(read: stack.ReviewedStack) -> float:
    return read.settings.preflight.timeout if read.settings is not None else 5.0


def _former(
    found: preview.Preview, seen: Mapping[str, cluster_snapshot.ClusterSnapshot], timeout: float
) -> Mapping[str, cluster_snapshot.ClusterSnapshot]:
    """The clusters that the stack file has no more, by the way that the state has to them."""
    gone = [
        step
        for step in found.steps
        if step.type == preview.PROVIDER and step.name not in seen and step.before is not None
    ]
    ways, hidden = {}, {}
    for step in gone:
        inputs = step.state.inputs
        kubeconfig = str(inputs.get("kubeconfig") or "")
        if kubeconfig == SECRET:
            why = "its kubeconfig is a secret that only the state has"
            hidden[step.name] = cluster_snapshot.ClusterSnapshot(name=step.name, unseen=why)
        else:
            ways[step.name] = Access(context=str(inputs.get("context") or ""), kubeconfig=kubeconfig)
    return {**cluster_snapshot.ask(ways, timeout), **hidden}


def _pictures(found: preview.Preview, read: stack.ReviewedStack) -> tuple[str | None, str | None]:
    """The topology as the state has it, and as the stack file has it."""
    step = found.stack
    before = step.before.outputs.get("topology") if step is not None and step.before is not None else None
    if read.settings is None:
        return before, None
    links = read.settings.links
    away = set(read.settings.unreachable_clusters)
    pending = [link for link in links if {link.source, link.target} & away]
    return before, topology.mermaid([cluster.name for cluster in read.settings.clusters], links, pending)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
