"""Checks of a stack on the lab: Linkerd's own checks, and what they leave out, as one table."""

from __future__ import annotations

import base64
import json
import re
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property, partial
from pathlib import Path
from typing import Any, TypeVar

from hack.make import clustermesh, services
from hack.make.check_result import CheckResult
from hack.make.stack import LabCluster, LabStack
from mesh.kube.constants import EXPORTED_LABEL

# Right after `up`, mirrors can still be missing and Linkerd's checks can still fail.
CHECK_TIMEOUT_S = 60
_RETRY_INTERVAL_S = 0.5
_MAX_CONCURRENT_CHECKS = 8

# The CLI repeats a failed check after five seconds until this time is over; its default is five minutes. In the lab its
# checks of proxies always fail. They begin later than this, so that the CLI does not repeat them. A gateway's metrics
# must arrive within this time.
LINKERD_WAIT_OPTION = "--wait=300ms"

# A port that refuses connections, used as HTTP proxy: the checks of Linkerd's extensions ask a server on the internet
# for newer versions, and nothing may leave the machine. Go uses no proxy for loopback addresses.
UNREACHABLE_URL = "http://127.0.0.1:9"

# Linkerd's warnings in a lab, with or without proxies (docs/lab.md): the extensions' checks need the internet.
EXPECTED_WARNINGS = frozenset(
    {
        *(f"{extension} extension proxies are up-to-date" for extension in ("multicluster", "viz", "jaeger")),
        # Linkerd's smi extension has a command of its own.
        "Linkerd extension command linkerd-smi exists",
    }
)
# Additional warnings in a lab without proxies.
EXPECTED_WARNINGS_WITHOUT_PROXIES = frozenset(
    {
        *(f"{extension} extension proxies are healthy" for extension in ("multicluster", "viz", "jaeger")),
        "linkerd-viz pods are injected",
        "jaeger extension pods are injected",
        "viz extension pods are running",
        "jaeger injector pods are running",
    }
)
# A pod serves the API of viz; without a data plane, the lab's pods run nothing.
EXPECTED_ERRORS_WITHOUT_PROXIES = frozenset({"viz extension self-check"})

# Linkerd 2.14 reports this error for a link without a gateway, although it has no probe (linkerd/linkerd2#11428).
PROBE_CHECK_NAME = "probe services able to communicate with all gateway mirrors"
NO_PROBE_MESSAGE = "wrong number (0) of probe gateways for target cluster {target}"

# Linkerd's warnings if the CLI is of another release than the stack.
EXPECTED_VERSION_WARNINGS = frozenset(
    {
        "Link and CLI versions match",
        "cli is up-to-date",
        *(
            f"{component} and cli versions match"
            for component in (
                "control plane",
                "control plane proxies",
                *(f"{extension} extension proxies" for extension in ("multicluster", "viz", "jaeger")),
            )
        ),
    }
)

# The extensions with a check command, by the first category that the command prints.
_EXTENSION_BY_CATEGORY = {f"linkerd-{extension}": extension for extension in ("multicluster", "viz", "jaeger", "smi")}

_LINKERD_TAG = re.compile(r"[a-z]+-[\w.]+")

Detail = TypeVar("Detail")


class CheckError(Exception):
    """A tool that a check needs has failed."""


class Checker:
    """The checks of one stack.

    Args:
        stack: the stack.
        environment: the whole environment of kubectl and linkerd (see `hack.make.environment`).
        has_dataplane: whether the lab has proxies, which are checked too.
    """

    def __init__(self, stack: LabStack, environment: Mapping[str, str], *, has_dataplane: bool = False) -> None:
        self._stack = stack
        self._has_dataplane = has_dataplane
        self._environment = {
            **environment,
            "HTTPS_PROXY": UNREACHABLE_URL,
            "HTTP_PROXY": UNREACHABLE_URL,
            "NO_PROXY": "",
        }
        self._contexts = {cluster.name: cluster.context for cluster in stack.clusters}

    def rows(self) -> Iterator[CheckResult]:
        """Yield the rows of the table in a fixed order; the checks run concurrently."""
        checks: list[Callable[[], list[CheckResult]]] = []
        if self._stack.has_cilium:
            checks.append(self._check_clustermesh)
        for cluster in self._stack.reachable_clusters if self._stack.has_linkerd else ():
            checks.append(partial(self._check_linkerd, cluster))
            if self._gateway_targets(cluster):
                checks.append(partial(self._check_gateways, cluster))
            if self._stack.has_federated_services:
                targets = [
                    link.target
                    for link in self._stack.live_links
                    if link.source == cluster.name and link.has_remote_discovery
                ]
                checks.append(partial(self._check_services, services.check_federated_services, cluster.name, targets))
        for link in self._stack.live_links:
            check_mirrors = services.check_gateway_mirrors if link.has_gateway else services.check_flat_mirrors
            checks.append(partial(self._check_services, check_mirrors, link.source, link.target))
            checks.append(partial(self._check_credentials, link.source, link.target))
        with ThreadPoolExecutor(max_workers=_MAX_CONCURRENT_CHECKS) as pool:
            for rows in pool.map(lambda check: check(), checks):
                yield from rows

    def _check_clustermesh(self) -> list[CheckResult]:
        names = [cluster.name for cluster in self._stack.reachable_clusters]
        return _retry_rows(lambda: clustermesh.check_clustermesh(names, self._read_object))

    def _check_linkerd(self, cluster: LabCluster) -> list[CheckResult]:
        """Return the rows of Linkerd's own checks; repeat the checks while one fails and time is left."""
        return _retry_rows(lambda: self._check_linkerd_once(cluster))

    def _check_linkerd_once(self, cluster: LabCluster) -> Iterator[CheckResult]:
        """Yield the rows of one `linkerd check`, which prints one JSON document for the core and each extension."""
        output = self._run(
            *("linkerd", "--context", cluster.context, "--linkerd-namespace", cluster.namespace),
            # The release that counts as the latest one; without it the CLI would ask a server on the internet.
            *("check", f"--expected-version={self._stack.tag}", "--output=json", LINKERD_WAIT_OPTION),
            *(("--proxy",) if self._has_dataplane else ()),
            strict=False,
        )
        other_cli = self._other_cli
        expected_warnings = EXPECTED_WARNINGS | (EXPECTED_VERSION_WARNINGS if other_cli else frozenset())
        expected_errors: frozenset[str] = frozenset()
        if not self._has_dataplane:
            expected_warnings |= EXPECTED_WARNINGS_WITHOUT_PROXIES
            expected_errors = EXPECTED_ERRORS_WITHOUT_PROXIES
        documents = {
            _command_name(document): document for document in _parse_documents(output) if document["categories"]
        }
        for name in cluster.required_checks:
            if name not in documents:
                detail = _last_line(output) if not documents else "not run: Linkerd did not detect the extension"
                yield CheckResult(
                    subject=cluster.name, check=name, passed=False, detail=detail or "linkerd check printed nothing"
                )
        for name, document in documents.items():
            results = [check for category in document["categories"] for check in category["checks"]]
            errors = [check for check in results if check["result"] == "error"]
            unexpected_errors = [
                check
                for check in errors
                if check["description"] not in expected_errors and not self._is_of_flat_links(cluster, check)
            ]
            warnings = [check for check in results if check["result"] == "warning"]
            unexpected_warnings = [check for check in warnings if check["description"] not in expected_warnings]
            successes = sum(check["result"] == "success" for check in results)
            expected = f"{len(warnings)} expected ‼" + (f" and {len(errors)} expected ×" if errors else "")
            problems = [
                *(f"× {_format_check(check)}" for check in unexpected_errors),
                *(f"‼ {_format_check(check)}" for check in unexpected_warnings),
            ]
            yield CheckResult(
                subject=cluster.name,
                check=name,
                passed=(bool(document["success"]) or bool(errors)) and not problems,
                detail=("; ".join(problems) or f"{successes} √, {expected} (docs/lab.md)")
                + (f", by the CLI of {other_cli}" if other_cli else ""),
            )

    @cached_property
    def _other_cli(self) -> str:
        """Return the release of the CLI if it differs from the stack's, else an empty string."""
        version = self._run("linkerd", "version", "--client", "--short", strict=False).strip()
        return version if _LINKERD_TAG.fullmatch(version) and version != self._stack.tag else ""

    def _is_of_flat_links(self, cluster: LabCluster, check: Mapping[str, Any]) -> bool:
        """Return whether a failed check is only about links that have no gateway to probe."""
        flat = [link.target for link in self._stack.live_links if link.source == cluster.name and not link.has_gateway]
        lines = {line.strip() for line in check.get("error", "").splitlines()} - {""}
        return check["description"] == PROBE_CHECK_NAME and set() < lines <= {
            NO_PROBE_MESSAGE.format(target=target) for target in flat
        }

    def _gateway_targets(self, cluster: LabCluster) -> set[str]:
        """Return the clusters whose gateways the links of this cluster use."""
        return {link.target for link in self._stack.live_links if link.source == cluster.name and link.has_gateway}

    def _check_gateways(self, cluster: LabCluster) -> list[CheckResult]:
        targets = self._gateway_targets(cluster)
        counts = {target: len(self._list_services(target, f"{EXPORTED_LABEL}=true")) for target in targets}

        def compare() -> tuple[bool, str]:
            # The older release prints only a table: cluster, alive, number of services, latency.
            output = self._run("linkerd", "--context", cluster.context, "multicluster", "gateways", strict=False)
            gateways = {
                row[0]: (row[1] == "True", int(row[2])) for row in map(str.split, output.splitlines()[1:]) if row[2:]
            }
            summary = ", ".join(
                f"{name} {'alive' if alive else 'not alive'}, {count} of {counts.get(name, 0)} services"
                for name, (alive, count) in sorted(gateways.items())
            )
            missing = ", ".join(sorted(targets - set(gateways)))
            passed = all(gateways.get(target) == (True, counts[target]) for target in targets)
            return passed, "; ".join(filter(None, (summary, missing and f"no gateway of {missing}")))

        passed, detail = _retry_until_passed(compare)
        return [CheckResult(subject=cluster.name, check="gateways", passed=passed, detail=detail)]

    def _check_services(self, check: Callable[..., services.CheckOutcome], *subject: Any) -> list[CheckResult]:
        """Return the rows of a check on services; repeat the check while it fails and time is left."""
        return _retry_until_passed(lambda: check(*subject, self._read_object, self._list_services))[1]

    def _check_credentials(self, source: str, target: str) -> list[CheckResult]:
        """Check that the link's credentials can list the target's services, and cannot list its Secrets."""
        secret = self._read_object(source, "secrets", f"cluster-credentials-{target}", "linkerd-multicluster")
        encoded = secret.get("data", {}).get("kubeconfig")
        if not encoded:
            return [
                CheckResult(
                    subject=f"{source} → {target}", check="credentials", passed=False, detail="the Secret is missing"
                )
            ]
        with tempfile.NamedTemporaryFile() as file:
            Path(file.name).write_bytes(base64.b64decode(encoded))
            answers = {
                kind: self._run(
                    *("kubectl", "--kubeconfig", file.name, "get", kind, "--all-namespaces", "--output=name"),
                    strict=False,
                ).strip()
                for kind in ("services", "secrets")
            }
        can_list_services, is_refused_secrets = "service/" in answers["services"], "orbidden" in answers["secrets"]
        of_services = (
            "can list services" if can_list_services else f"cannot list services: {_last_line(answers['services'])}"
        )
        of_secrets = "cannot list Secrets" if is_refused_secrets else "can list Secrets"
        return [
            CheckResult(
                subject=f"{source} → {target}",
                check="credentials",
                passed=can_list_services and is_refused_secrets,
                detail=f"{of_services}, {of_secrets}",
            )
        ]

    def _list_services(self, cluster: str, selector: str) -> list[tuple[str, str]]:
        """Return namespace and name of each service of a cluster that a label selector matches."""
        output = self._run(
            *("kubectl", "--context", self._contexts[cluster], "get", "services", "--all-namespaces"),
            *(f"--selector={selector}", "--output=json"),
        )
        return [(item["metadata"]["namespace"], item["metadata"]["name"]) for item in json.loads(output)["items"]]

    def _read_object(self, cluster: str, kind: str, name: str, namespace: str) -> dict[str, Any]:
        """Return one object, or an empty mapping if there is none."""
        output = self._run(
            *("kubectl", "--context", self._contexts[cluster], "--namespace", namespace),
            *("get", kind, name, "--ignore-not-found", "--output=json"),
            strict=False,
        )
        return next(_parse_documents(output), {})

    def _run(self, *command: str, strict: bool = True) -> str:
        """Return the output of a command; after a failure, with its error output appended.

        Raises:
            CheckError: the command failed, and `strict` is set.
        """
        process = subprocess.run(command, env=self._environment, capture_output=True, text=True, check=False)
        if process.returncode == 0 or not strict:
            return process.stdout if process.returncode == 0 else process.stdout + process.stderr
        raise CheckError(f"{' '.join(command)}: exit code {process.returncode}: {_last_line(process.stderr)}")


def print_table(rows: Iterator[CheckResult], output: Callable[[str], None]) -> bool:
    """Print each row as soon as it is complete; return whether all have passed."""
    passed = True
    for row in rows:
        output(f"  {'√' if row.passed else '×'}  {row.subject:<16}  {row.check:<26}  {row.detail}")
        passed = passed and row.passed
    return passed


def _retry_rows(check: Callable[[], Iterator[CheckResult]]) -> list[CheckResult]:
    def run() -> tuple[bool, list[CheckResult]]:
        rows = list(check())
        return all(row.passed for row in rows), rows

    return _retry_until_passed(run)[1]


def _retry_until_passed(check: Callable[[], tuple[bool, Detail]]) -> tuple[bool, Detail]:
    """Repeat a check until it passes or `CHECK_TIMEOUT_S` is over; return its last outcome."""
    deadline = time.monotonic() + CHECK_TIMEOUT_S
    while True:
        passed, detail = check()
        if passed or time.monotonic() > deadline:
            return passed, detail
        time.sleep(_RETRY_INTERVAL_S)


def _parse_documents(text: str) -> Iterator[Any]:
    """Yield the JSON documents of a text, which can contain other lines between them."""
    decoder = json.JSONDecoder()
    position = 0
    while True:
        starts = [start for start in (text.find("{", position), text.find("[", position)) if start >= 0]
        if not starts:
            return
        try:
            document, position = decoder.raw_decode(text, min(starts))
        except ValueError:
            return
        yield document


def _command_name(document: Mapping[str, Any]) -> str:
    """Return the command that printed a document; only the document's first category identifies it."""
    extension = _EXTENSION_BY_CATEGORY.get(document["categories"][0]["categoryName"])
    return f"linkerd {extension} check" if extension else "linkerd check"


def _format_check(check: Mapping[str, Any]) -> str:
    # An error can have several lines and paragraphs; a row of the table has one line.
    return f"{check['description']}: {' '.join((check.get('error') or '').split())}"


def _last_line(text: str) -> str:
    return (text.strip().splitlines() or [""])[-1]
