"""Check of traffic splits on your own clusters: requests from a pod, and a count of the answers per cluster.

The requests are sent by `kubectl exec` in the clusters of your own kubeconfig. The lab carries packets only with a data
plane (docs/lab.md).
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import ceil
from pathlib import Path

from hack.make.check_result import CheckResult
from hack.make.stack import LabCluster, LabStack
from mesh.config.models.samples import HelloworldConfig, PodinfoConfig
from mesh.config.resolved import Sample
from mesh.config.value_checks import expand_path
from mesh.kube import kubeconfig
from mesh.kube.kubeconfig_syntax import KubeconfigError

# The number of requests follows from the smallest share of a split, within these limits.
REQUESTS_PER_SMALLEST_SHARE = 5
MIN_REQUESTS, MAX_REQUESTS = 20, 500
# No further requests are sent after so many failures.
MAX_FAILURES = 5
REQUEST_TIMEOUT_S = 5
# For all requests of one split.
SPLIT_TIMEOUT_S = 300

# Prints a line for each request: `+` and the answer, or `-` and the error. An image has either curl or wget.
_SCRIPT = """\
set -f
if command -v curl >/dev/null; then ask="curl -sS -f -m {timeout}"; else ask="wget -q -T {timeout} -O -"; fi
sent=0 failed=0
while [ $sent -lt {requests} ] && [ $failed -lt {max_failures} ]; do
  sent=$((sent + 1))
  if answer=$($ask {url} 2>&1); then mark=+; else mark=-; failed=$((failed + 1)); fi
  printf '%s %s\\n' "$mark" "$(printf %s "$answer" | tr '\\r\\n' '  ')"
done
"""


class VerifyError(Exception):
    """The stack has no split to verify, or a tool or a context for it is missing."""


@dataclass(frozen=True, kw_only=True)
class SplitCheck:
    """One split, and the request whose answers identify the cluster."""

    sample: str
    cluster: str  # the cluster that splits requests
    namespace: str
    client: str  # the Deployment that sends the requests
    client_setting: str  # the setting that installs the client
    url: str
    origin_pattern: str  # a regular expression; its first group is the origin of an answer
    origins: Mapping[str, str]  # by cluster
    weights: Mapping[str, int]  # by cluster
    has_client: bool  # whether the client runs in the cluster
    client_container: str | None = None  # None if it has the name of the Deployment

    @property
    def request_count(self) -> int:
        """Return the number of requests that makes the smallest share visible."""
        shares = [weight for weight in self.weights.values() if weight]
        return min(MAX_REQUESTS, max(MIN_REQUESTS, ceil(REQUESTS_PER_SMALLEST_SHARE * sum(shares) / min(shares))))

    @property
    def indistinguishable_clusters(self) -> str | None:
        """Return an error if two clusters give the same answers."""
        first_clusters: dict[str, str] = {}
        for cluster in self.weights:
            other = first_clusters.setdefault(self.origins[cluster], cluster)
            if other != cluster:
                return (
                    f"{other} and {cluster} both answer {self.origins[cluster]}; "
                    "set different versions in workloads[].helloworld.versions"
                )
        return None


@dataclass(frozen=True, kw_only=True)
class AnswerCount:
    """The answers to the requests of one split."""

    by_origin: Mapping[str, int]
    unrecognized: tuple[str, ...] = ()  # answers without an origin
    failures: tuple[str, ...] = ()  # the errors of requests without an answer


def split_checks(stack: LabStack) -> list[SplitCheck]:
    """Return the splits of a stack, without those of clusters that are declared unreachable.

    Raises:
        VerifyError: there is none.
    """
    names = [cluster.name for cluster in stack.clusters]
    checks = [each for sample in stack.samples for each in _sample_checks(sample, names)]
    reachable = {cluster.name for cluster in stack.reachable_clusters}
    if not checks:
        raise VerifyError(
            f"{stack.file.name}: nothing to verify: no request is split; add splits or failover to "
            "workloads[].helloworld or workloads[].podinfo"
        )
    if not any(each.cluster in reachable for each in checks):
        unreachable = ", ".join(dict.fromkeys(each.cluster for each in checks))
        raise VerifyError(
            f"{stack.file.name}: nothing to verify: requests are split only in {unreachable}, which is declared "
            "unreachable; remove `reachable: false` once the cluster is back"
        )
    return [each for each in checks if each.cluster in reachable]


def count_answers(output: str, origin_pattern: str) -> AnswerCount:
    """Return the number of answers of each origin.

    Args:
        output: the output of the script, a line for each request.
        origin_pattern: a regular expression; its first group is the origin of an answer.
    """
    by_origin: dict[str, int] = {}
    unrecognized, failures = [], []
    for line in output.splitlines():
        mark, _, text = line.partition(" ")
        match = re.search(origin_pattern, text)
        if mark == "-":
            failures.append(text.strip() or "no reason given")
        elif match is not None:
            by_origin[match[1]] = by_origin.get(match[1], 0) + 1
        else:
            unrecognized.append(text.strip() or "an empty answer")
    return AnswerCount(by_origin=by_origin, unrecognized=tuple(unrecognized), failures=tuple(failures))


def evaluate_answers(check: SplitCheck, answers: AnswerCount) -> tuple[bool, str]:
    """Return whether the answers match the weights, and a description of the answers.

    The answers match if exactly the clusters with a weight have answered, and no request has failed.

    Args:
        check: the split.
        answers: the answers to its requests.
    """
    weights = {check.origins[cluster]: weight for cluster, weight in check.weights.items()}
    clusters = {check.origins[cluster]: cluster for cluster in check.weights}
    counts = [
        f"{_format_origin(clusters[origin], origin)} {answers.by_origin.get(origin, 0)} (weight {weight})"
        for origin, weight in weights.items()
    ]
    total = sum(answers.by_origin.values()) + len(answers.unrecognized) + len(answers.failures)
    problems = [
        f"no answer from {clusters[origin]}"
        for origin, weight in weights.items()
        if weight and not answers.by_origin.get(origin)
    ]
    problems += [
        f"{number} from {_format_origin(clusters.get(origin, ''), origin)}, which has no weight"
        for origin, number in answers.by_origin.items()
        if not weights.get(origin)
    ]
    if answers.unrecognized:
        problems.append(f"{len(answers.unrecognized)} of unknown origin, for example: {answers.unrecognized[0][:80]}")
    if answers.failures:
        problems.append(f"{len(answers.failures)} failed, for example: {answers.failures[0][:120]}")
    return not problems, "; ".join([f"{total} requests: {', '.join(counts)}", *problems])


class Verifier:
    """The checks of all splits of one stack.

    Args:
        stack: the stack.
        environment: the caller's environment, which sets the kubeconfig.
        lab_kubeconfig: the kubeconfig of a lab with a data plane, or None without one.
    """

    def __init__(self, stack: LabStack, environment: Mapping[str, str], lab_kubeconfig: Path | None = None) -> None:
        self._stack = stack
        self._lab_kubeconfig = lab_kubeconfig
        self._environment = dict(environment)

    def rows(self) -> Iterator[CheckResult]:
        """Yield a row for each split.

        Raises:
            VerifyError: there is no split to verify, or a cluster has no usable context.
        """
        checks = split_checks(self._stack)
        clusters = {cluster.name: cluster for cluster in self._stack.clusters}
        # All contexts are checked before the first request.
        options = {name: self._kubectl_options(clusters[name]) for name in dict.fromkeys(c.cluster for c in checks)}
        for check in checks:
            passed, detail = self._check_split(check, options[check.cluster])
            yield CheckResult(subject=check.cluster, check=f"{check.sample} split", passed=passed, detail=detail)

    def _kubectl_options(self, cluster: LabCluster) -> list[str]:
        """Return kubectl's options for a cluster.

        Raises:
            VerifyError: the cluster's context cannot be read, is missing, or is the lab's.
        """
        path = f"clusters.{cluster.name}"
        if cluster.kubeconfig is None and cluster.name in self._stack.own_kubeconfigs:
            raise VerifyError(
                f"{path}: its kubeconfig is a secret of the stack and cannot be read here; write the kubeconfig to a "
                f"file, and set {path}.kubeconfig to its path"
            )
        files = kubeconfig.kubeconfig_paths(self._environment)
        if cluster.kubeconfig is not None:
            files = kubeconfig.kubeconfig_paths({"KUBECONFIG": expand_path(cluster.kubeconfig)})
        paths = os.pathsep.join(map(str, files))
        try:
            merged = kubeconfig.read_kubeconfigs(files)
        except KubeconfigError as error:
            raise VerifyError(str(error)) from None
        name = cluster.context
        if cluster.kubeconfig is not None and name == cluster.name and name not in merged.contexts:
            name = merged.current_context or name  # a kubeconfig for this cluster alone sets its own current context
        context = merged.contexts.get(name)
        if context is None:
            raise VerifyError(
                f"{path}: no context {name} in {paths}; set KUBECONFIG to the kubeconfig of your own clusters (the lab "
                "can verify splits only with a data plane, see docs/lab.md)"
            )
        if context.has_loopback_peers and self._lab_kubeconfig not in files:
            raise VerifyError(
                f"{path}: context {name} in {paths} is the lab's, and the lab carries no packets without a data "
                "plane (docs/lab.md); set KUBECONFIG to the kubeconfig of your own clusters"
            )
        return ["--kubeconfig", paths, "--context", name] if cluster.kubeconfig is not None else ["--context", name]

    def _check_split(self, check: SplitCheck, options: list[str]) -> tuple[bool, str]:
        if not check.has_client:
            return False, f"no client in {check.cluster}; add {check.cluster} to {check.client_setting}"
        if check.indistinguishable_clusters is not None:
            return False, check.indistinguishable_clusters
        script = _SCRIPT.format(
            requests=check.request_count, max_failures=MAX_FAILURES, timeout=REQUEST_TIMEOUT_S, url=check.url
        )
        client = check.client
        command = ["kubectl", *options, "--namespace", check.namespace, "exec", f"deploy/{client}"]
        command += ["-c", check.client_container or client]
        label = f"kubectl exec deploy/{client} in {check.namespace}"
        try:
            process = subprocess.run(
                [*command, "--", "sh", "-c", script],
                env=self._environment,
                capture_output=True,
                text=True,
                errors="replace",
                check=False,
                timeout=SPLIT_TIMEOUT_S,
            )
        except FileNotFoundError:
            raise VerifyError("kubectl is not on PATH; install it, or add its folder to PATH") from None
        except OSError as error:
            raise VerifyError(f"kubectl cannot be run: {error.strerror}; install it again") from None
        except subprocess.TimeoutExpired:
            return False, f"{label} took more than {SPLIT_TIMEOUT_S} seconds"
        if process.returncode != 0:
            lines = process.stderr.strip() or process.stdout.strip() or f"exit code {process.returncode}"
            return False, f"{label}: {lines.splitlines()[-1]}"
        return evaluate_answers(check, count_answers(process.stdout, check.origin_pattern))


def _sample_checks(sample: Sample, names: list[str]) -> Iterator[SplitCheck]:
    part = sample.config
    if not isinstance(part, HelloworldConfig | PodinfoConfig):
        return
    shares: list[tuple[str, Mapping[str, int]]] = [(split.cluster, split.weights) for split in part.splits]
    # While the cluster itself is healthy, the backups of a failover get one request in a million.
    split_clusters = {split.cluster for split in part.splits}
    shares += [
        (each.cluster, {each.cluster: 1, **dict.fromkeys(each.targets, 0)})
        for each in part.failover
        if each.cluster not in split_clusters
    ]
    for cluster, weights in shares:
        if isinstance(part, HelloworldConfig):
            yield SplitCheck(
                sample="helloworld",
                cluster=cluster,
                namespace=part.namespace,
                client="sleep",
                client_setting="workloads[].helloworld.sleep",
                url="http://helloworld:5000/hello",
                origin_pattern=r"version: (v[0-9]+)",
                origins={name: part.versions.get(name, "v1") for name in names},
                weights=weights,
                has_client=cluster in part.sleep,
            )
        else:
            yield SplitCheck(
                sample="podinfo",
                cluster=cluster,
                namespace=part.namespace,
                client="frontend",
                client_container="nginx",
                client_setting="workloads[].podinfo.frontend",
                url="http://podinfo:9898/",
                origin_pattern=r"greetings from ([-a-z0-9]+)",
                origins={name: name for name in names},
                weights=weights,
                has_client=cluster in part.frontend,
            )


def _format_origin(cluster: str, origin: str) -> str:
    return origin if cluster in ("", origin) else f"{cluster} ({origin})"
