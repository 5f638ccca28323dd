"""Do splits come true? Requests from a pod on clusters of one's own, and a table of who answered them.

The lab can't tell, since no packet goes through it (docs/lab.md). So this asks the clusters of the user's own
kubeconfig, by `kubectl exec`.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import ceil

from hack.make.check_result import CheckResult
from hack.make.stack import LabCluster, LabStack
from mesh.config.field_types import expand_path
from mesh.config.models.samples import HelloworldConfig, PodinfoConfig
from mesh.config.resolved import Sample
from mesh.kube import kubeconfig

# How often a split is asked at least, and at most; in between, five times for the smallest share of it.
LEAST, MOST, PER_SHARE = 20, 500, 5
# Failed requests after which no more are sent, and seconds that one may take.
GIVEN_UP_AFTER, WITHIN = 5, 5
# Seconds for all of them.
PATIENCE = 300

# A line for each request: `+` and the answer, or `-` and why there is none. Images have the one program or the other.
_SCRIPT = """\
set -f
if command -v curl >/dev/null; then ask="curl -sS -f -m {within}"; else ask="wget -q -T {within} -O -"; fi
sent=0 failed=0
while [ $sent -lt {requests} ] && [ $failed -lt {given_up_after} ]; do
  sent=$((sent + 1))
  if answer=$($ask {url} 2>&1); then mark=+; else mark=-; failed=$((failed + 1)); fi
  printf '%s %s\\n' "$mark" "$(printf %s "$answer" | tr '\\r\\n' '  ')"
done
"""


class VerifyFailed(Exception):
    """There is nothing to verify, or nothing to do it with."""


@dataclass(frozen=True, kw_only=True)
class SplitCheck:
    """One split, and how to see who answers."""

    sample: str
    cluster: str  # where requests are split
    namespace: str
    client: str  # the Deployment that asks, and its container
    asked: str  # the setting that says where it runs
    url: str
    says: str  # a regular expression for what an answer says of who gave it
    answers: Mapping[str, str]  # what that is, by cluster
    weights: Mapping[str, int]  # by cluster
    runs: bool  # whether the client runs there

    @property
    def requests(self) -> int:
        """How many requests it takes for the smallest share to be seen."""
        shares = [weight for weight in self.weights.values() if weight]
        return min(MOST, max(LEAST, ceil(PER_SHARE * sum(shares) / min(shares))))

    @property
    def alike(self) -> str | None:
        """Two clusters that answer the same, so that nobody can tell them apart."""
        seen: dict[str, str] = {}
        for cluster in self.weights:
            other = seen.setdefault(self.answers[cluster], cluster)
            if other != cluster:
                return f"{other} and {cluster} both answer {self.answers[cluster]}; let them run two versions"
        return None


@dataclass(frozen=True, kw_only=True)
class Count:
    """Who answered how often."""

    answered: Mapping[str, int]  # by what the answer says
    odd: tuple[str, ...] = ()  # answers that say nothing of who gave them
    failed: tuple[str, ...] = ()  # what was said of requests without an answer


def questions(stack: LabStack) -> list[SplitCheck]:
    """The splits of a stack, of the clusters that aren't declared to be down.

    Raises:
        VerifyFailed: there is none.
    """
    names = [cluster.name for cluster in stack.clusters]
    found = [each for sample in stack.samples for each in _of_sample(sample, names)]
    up = {cluster.name for cluster in stack.reachable}
    if not found:
        raise VerifyFailed(
            f"{stack.file.name}: nothing to verify: no request is split (splits or failover of workloads[].helloworld, "
            "workloads[].podinfo)"
        )
    if not any(each.cluster in up for each in found):
        away = ", ".join(dict.fromkeys(each.cluster for each in found))
        raise VerifyFailed(
            f"{stack.file.name}: nothing to verify: {away} is declared unreachable, where requests split"
        )
    return [each for each in found if each.cluster in up]


def count(printed: str, says: str) -> Count:
    """Who answered, from what the script has printed.

    Args:
        printed: a line for each request.
        says: a regular expression whose first group is what an answer says of who gave it.
    """
    answered: dict[str, int] = {}
    odd, failed = [], []
    for line in printed.splitlines():
        mark, _, text = line.partition(" ")
        said = re.search(says, text)
        if mark == "-":
            failed.append(text.strip() or "no reason given")
        elif said is not None:
            answered[said[1]] = answered.get(said[1], 0) + 1
        else:
            odd.append(text.strip() or "nothing")
    return Count(answered=answered, odd=tuple(odd), failed=tuple(failed))


def judge(question: SplitCheck, found: Count) -> tuple[bool, str]:
    """Whether everybody with a weight answered, nobody else did, and no request failed; and what is said of it.

    Args:
        question: the split.
        found: who answered.
    """
    wanted = {question.answers[cluster]: weight for cluster, weight in question.weights.items()}
    clusters = {question.answers[cluster]: cluster for cluster in question.weights}
    counts = [
        f"{_called(clusters[said], said)} {found.answered.get(said, 0)} (weight {weight})"
        for said, weight in wanted.items()
    ]
    total = sum(found.answered.values()) + len(found.odd) + len(found.failed)
    faults = [
        f"no answer from {clusters[said]}" for said, weight in wanted.items() if weight and not found.answered.get(said)
    ]
    faults += [
        f"{times} from {_called(clusters.get(said, ''), said)}, which has no weight"
        for said, times in found.answered.items()
        if not wanted.get(said)
    ]
    if found.odd:
        faults.append(f"{len(found.odd)} from somebody else, such as: {found.odd[0][:80]}")
    if found.failed:
        faults.append(f"{len(found.failed)} failed, such as: {found.failed[0][:120]}")
    return not faults, "; ".join([f"of {total}: {', '.join(counts)}", *faults])


class Verifier:
    """Sends requests on the clusters of one stack.

    Args:
        stack: the stack.
        environment: of the caller, with the kubeconfig to use.
    """

    def __init__(self, stack: LabStack, environment: Mapping[str, str]) -> None:
        self._stack = stack
        self._environment = dict(environment)

    def rows(self) -> Iterator[CheckResult]:
        """The table, a line for each split.

        Raises:
            VerifyFailed: there is nothing to verify, or a context can't be used for it.
        """
        asked = questions(self._stack)
        clusters = {cluster.name: cluster for cluster in self._stack.clusters}
        # All of them before the first request.
        ways = {name: self._way(clusters[name]) for name in dict.fromkeys(each.cluster for each in asked)}
        for question in asked:
            passed, detail = self._answer(question, ways[question.cluster])
            yield CheckResult(subject=question.cluster, check=f"{question.sample} split", passed=passed, detail=detail)

    def _way(self, cluster: LabCluster) -> list[str]:
        """The options by which kubectl reaches a cluster."""
        path = f"clusters.{cluster.name}"
        if cluster.kubeconfig is None and cluster.name in self._stack.own_kubeconfigs:
            raise VerifyFailed(
                f"{path}: its kubeconfig is a secret of the stack, which can't be read here; write it to a file, and "
                f"name that in {path}.kubeconfig"
            )
        files = kubeconfig.kubeconfig_paths(self._environment)
        if cluster.kubeconfig is not None:
            files = kubeconfig.kubeconfig_paths({"KUBECONFIG": expand_path(cluster.kubeconfig)})
        where = os.pathsep.join(map(str, files))
        try:
            found = kubeconfig.read_kubeconfigs(files)
        except kubeconfig.KubeconfigError as error:
            raise VerifyFailed(str(error)) from None
        name = cluster.context
        if cluster.kubeconfig is not None and name == cluster.name and name not in found.contexts:
            name = found.current or name  # one for this cluster alone says itself which context is meant
        context = found.contexts.get(name)
        if context is None:
            raise VerifyFailed(
                f"{path}: no context {name} in {where}; set KUBECONFIG to the kubeconfig of your own clusters (in the "
                "lab there is nothing to verify: no packet goes through it, see docs/lab.md)"
            )
        if context.loopback_peers:
            raise VerifyFailed(
                f"{path}: context {name} in {where} is the lab's, and no packet goes through the lab (docs/lab.md); "
                "set KUBECONFIG to the kubeconfig of your own clusters"
            )
        return ["--kubeconfig", where, "--context", name] if cluster.kubeconfig is not None else ["--context", name]

    def _answer(self, question: SplitCheck, way: list[str]) -> tuple[bool, str]:
        if not question.runs:
            return False, f"nothing to ask from: add {question.cluster} to {question.asked}"
        if question.alike is not None:
            return False, question.alike
        script = _SCRIPT.format(
            requests=question.requests, given_up_after=GIVEN_UP_AFTER, within=WITHIN, url=question.url
        )
        client = question.client
        command = ["kubectl", *way, "--namespace", question.namespace, "exec", f"deploy/{client}", "-c", client]
        try:
            ended = subprocess.run(
                [*command, "--", "sh", "-c", script],
                env=self._environment,
                capture_output=True,
                text=True,
                errors="replace",
                check=False,
                timeout=PATIENCE,
            )
        except FileNotFoundError:
            raise VerifyFailed("kubectl is not on PATH; install it, or put its folder there") from None
        except OSError as error:
            raise VerifyFailed(f"kubectl can't be run: {error.strerror}") from None
        except subprocess.TimeoutExpired:
            return False, f"kubectl exec deploy/{client} in {question.namespace} took more than {PATIENCE} seconds"
        if ended.returncode != 0:
            said = (ended.stderr.strip() or ended.stdout.strip() or f"exit code {ended.returncode}").splitlines()[-1]
            return False, f"kubectl exec deploy/{client} in {question.namespace}: {said}"
        return judge(question, count(ended.stdout, question.says))


def _of_sample(sample: Sample, names: list[str]) -> Iterator[SplitCheck]:
    part = sample.part
    if not isinstance(part, HelloworldConfig | PodinfoConfig):
        return
    shares: list[tuple[str, Mapping[str, int]]] = [(split.cluster, split.weights) for split in part.splits]
    # In good times the others have one request in a million.
    shares += [(each.cluster, {each.cluster: 1, **dict.fromkeys(each.backups, 0)}) for each in part.failover]
    for cluster, weights in shares:
        if isinstance(part, HelloworldConfig):
            yield SplitCheck(
                sample="helloworld",
                cluster=cluster,
                namespace=part.namespace,
                client="sleep",
                asked="workloads[].helloworld.sleep",
                url="http://helloworld:5000/hello",
                says=r"version: (v[0-9]+)",
                answers={name: part.versions.get(name, "v1") for name in names},
                weights=weights,
                runs=cluster in part.sleep,
            )
        else:
            yield SplitCheck(
                sample="podinfo",
                cluster=cluster,
                namespace=part.namespace,
                client="frontend",
                asked="workloads[].podinfo.frontend",
                url="http://podinfo:9898/",
                says=r"greetings from ([-a-z0-9]+)",
                answers={name: name for name in names},
                weights=weights,
                runs=cluster in part.frontend,
            )


def _called(cluster: str, said: str) -> str:
    return said if cluster in ("", said) else f"{cluster} ({said})"
