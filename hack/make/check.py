"""Is the mesh up? Linkerd's own checks on every cluster, and what they don't look at, as a short table."""

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

# Seconds that a mirror may take to appear, and Linkerd's checks to come true, after `up`.
PATIENCE = 60

# A place that refuses connections: Linkerd's CLI asks a server on the internet for newer versions, and nothing here
# leaves the machine. Go does not use a proxy for loopback addresses.
UNREACHABLE_URL = "http://127.0.0.1:9"

# What Linkerd warns of in a lab without proxies and without the internet, and nothing else (docs/lab.md).
EXPECTED_WARNINGS = frozenset(
    {
        "can determine the latest version",
        "cli is up-to-date",
        "control plane is up-to-date",
        "control plane proxies are up-to-date",
        *(
            f"{extension} extension proxies are {what}"
            for extension in ("multicluster", "viz", "jaeger")
            for what in ("healthy", "up-to-date")
        ),
        "linkerd-viz pods are injected",
        "jaeger extension pods are injected",
        "viz extension pods are running",
        "jaeger injector pods are running",
        # Linkerd's smi extension has a command of its own.
        "Linkerd extension command linkerd-smi exists",
    }
)
# What it fails with: viz' own API is served by a pod.
EXPECTED_ERRORS = frozenset({"viz extension self-check"})

# What Linkerd 2.14 says of a link without a gateway, where there is nothing to probe (linkerd/linkerd2#11428).
PROBE_CHECK_NAME = "probe services able to communicate with all gateway mirrors"
NO_PROBE = "wrong number (0) of probe gateways for target cluster {target}"

# What it warns of where the CLI isn't of the stack's release, but the newest that there is.
OF_ANOTHER_CLI = frozenset(
    {
        "Link and CLI versions match",
        *(
            f"{what} and cli versions match"
            for what in (
                "control plane",
                "control plane proxies",
                *(f"{extension} extension proxies" for extension in ("multicluster", "viz", "jaeger")),
            )
        ),
    }
)

# The extensions that have checks, by the category that comes first in them.
_EXTENSIONS = {f"linkerd-{extension}": extension for extension in ("multicluster", "viz", "jaeger", "smi")}

_TAG = re.compile(r"[a-z]+-[\w.]+")

Found = TypeVar("Found")


class Checker:
    """Looks at the mesh of one stack.

    Args:
        stack: the stack.
        environment: the whole environment of the tools' processes (see `dev.environment`).
    """

    def __init__(self, stack: LabStack, environment: Mapping[str, str]) -> None:
        self._stack = stack
        self._environment = {
            **environment,
            "HTTPS_PROXY": UNREACHABLE_URL,
            "HTTP_PROXY": UNREACHABLE_URL,
            "NO_PROXY": "",
        }
        self._contexts = {cluster.name: cluster.context for cluster in stack.clusters}

    def rows(self) -> Iterator[CheckResult]:
        """The table, line by line in a fixed order, while the checks run side by side."""
        checks: list[Callable[[], list[CheckResult]]] = []
        if self._stack.cilium:
            checks.append(self._clustermesh)
        for cluster in self._stack.reachable if self._stack.linkerd else ():
            checks.append(partial(self._linkerd, cluster))
            if self._targets(cluster):
                checks.append(partial(self._gateways, cluster))
            if self._stack.federates:
                targets = [link.target for link in self._stack.live if link.source == cluster.name and link.discovers]
                checks.append(partial(self._seen, services.federated, cluster.name, targets))
        for link in self._stack.live:
            seen = services.mirrors if link.gateway else services.discovered
            checks.append(partial(self._seen, seen, link.source, link.target))
            checks.append(partial(self._credentials, link.source, link.target))
        with ThreadPoolExecutor(max_workers=8) as pool:
            for rows in pool.map(lambda check: check(), checks):
                yield from rows

    def _clustermesh(self) -> list[CheckResult]:
        names = [cluster.name for cluster in self._stack.reachable]

        def look() -> tuple[bool, list[CheckResult]]:
            rows = list(clustermesh.rows(names, self._object))
            return all(row.passed for row in rows), rows

        return _retry_until(look)[1]

    def _linkerd(self, cluster: LabCluster) -> list[CheckResult]:
        """Linkerd's own checks, once more and again while one fails that may only need time."""

        def look() -> tuple[bool, list[CheckResult]]:
            rows = list(self._linkerd_now(cluster))
            return all(row.passed for row in rows), rows

        return _retry_until(look)[1]

    def _linkerd_now(self, cluster: LabCluster) -> Iterator[CheckResult]:
        """`linkerd check`, which runs those of all extensions too, and prints one JSON document for each."""
        # Its own waiting would go on until the end for what the lab can't have: healthy proxies.
        printed = self._output(
            *("linkerd", "--context", cluster.context, "--linkerd-namespace", cluster.namespace),
            *("check", "--output=json", "--wait=1s"),
            strict=False,
        )
        other = self._other_cli
        expected = EXPECTED_WARNINGS | (OF_ANOTHER_CLI if other else frozenset())
        documents = {_check(document): document for document in _documents(printed) if document["categories"]}
        for name in cluster.checks:
            if name not in documents:
                said = _last_line(printed) if not documents else "not run: Linkerd doesn't see the extension"
                yield CheckResult(subject=cluster.name, check=name, passed=False, detail=said or "printed nothing")
        for name, document in documents.items():
            results = [check for category in document["categories"] for check in category["checks"]]
            wrong = [check for check in results if check["result"] == "error"]
            errors = [
                check
                for check in wrong
                if check["description"] not in EXPECTED_ERRORS and not self._is_of_flat_links(cluster, check)
            ]
            warned = [check for check in results if check["result"] == "warning"]
            unexpected = [check for check in warned if check["description"] not in expected]
            count = sum(check["result"] == "success" for check in results)
            explained = f"{len(warned)} ‼" + (f" and {len(wrong)} ×" if wrong else "")
            faults = [*(f"× {_told(check)}" for check in errors), *(f"‼ {_told(check)}" for check in unexpected)]
            yield CheckResult(
                subject=cluster.name,
                check=name,
                passed=(bool(document["success"]) or bool(wrong)) and not faults,
                detail=("; ".join(faults) or f"{count} √, {explained} that the lab explains (docs/lab.md)")
                + (f", by the CLI of {other}" if other else ""),
            )

    @cached_property
    def _other_cli(self) -> str:
        """The release of the CLI, if it isn't the stack's: of a release that nobody has built there is none."""
        said = self._output("linkerd", "version", "--client", "--short", strict=False).strip()
        return said if _TAG.fullmatch(said) and said != self._stack.tag else ""

    def _is_of_flat_links(self, cluster: LabCluster, check: Mapping[str, Any]) -> bool:
        """Whether a failed check complains of nothing but links that have no gateway to probe."""
        flat = [link.target for link in self._stack.live if link.source == cluster.name and not link.gateway]
        lines = {line.strip() for line in check.get("error", "").splitlines()} - {""}
        return check["description"] == PROBE_CHECK_NAME and set() < lines <= {
            NO_PROBE.format(target=target) for target in flat
        }

    def _targets(self, cluster: LabCluster) -> set[str]:
        """The clusters whose gateways a cluster's links go through."""
        return {link.target for link in self._stack.live if link.source == cluster.name and link.gateway}

    def _gateways(self, cluster: LabCluster) -> list[CheckResult]:
        wanted = self._targets(cluster)
        counts = {target: len(self._services(target, f"{services.EXPORTED}=true")) for target in wanted}

        def look() -> tuple[bool, str]:
            # As a table, because the older release has no other form: cluster, alive, number of services, latency.
            printed = self._output("linkerd", "--context", cluster.context, "multicluster", "gateways", strict=False)
            found = {
                row[0]: (row[1] == "True", int(row[2])) for row in map(str.split, printed.splitlines()[1:]) if row[2:]
            }
            shown = ", ".join(
                f"{name} {'alive' if alive else 'not alive'}, {count} of {counts.get(name, 0)} services"
                for name, (alive, count) in sorted(found.items())
            )
            missing = ", ".join(sorted(wanted - set(found)))
            passed = all(found.get(target) == (True, counts[target]) for target in wanted)
            return passed, "; ".join(filter(None, (shown, missing and f"none of {missing}")))

        passed, detail = _retry_until(look)
        return [CheckResult(subject=cluster.name, check="gateways", passed=passed, detail=detail)]

    def _seen(self, told: Callable[..., services.Told], *subject: Any) -> list[CheckResult]:
        """Rows on services, once more and again while the controllers may only need time."""
        return _retry_until(lambda: told(*subject, self._object, self._services))[1]

    def _credentials(self, source: str, target: str) -> list[CheckResult]:
        """The link's credentials can list the target's services, and can't read its Secrets."""
        secret = self._object(source, "secrets", f"cluster-credentials-{target}", "linkerd-multicluster")
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
                what: self._output("kubectl", "--kubeconfig", file.name, *command, strict=False).strip()
                for what, command in {
                    "services": ("get", "services", "--all-namespaces", "--output=name"),
                    "secrets": ("get", "secrets", "--all-namespaces", "--output=name"),
                }.items()
            }
        reads, refused = "service/" in answers["services"], "orbidden" in answers["secrets"]
        services = "lists services" if reads else f"can't list services: {_last_line(answers['services'])}"
        secrets = "reads no Secret" if refused else "can read Secrets"
        passed, detail = reads and refused, f"{services}, {secrets}"
        return [CheckResult(subject=f"{source} → {target}", check="credentials", passed=passed, detail=detail)]

    def _services(self, cluster: str, selector: str) -> list[tuple[str, str]]:
        """Namespace and name of each service of a cluster that a selector finds."""
        printed = self._output(
            *("kubectl", "--context", self._contexts[cluster], "get", "services", "--all-namespaces"),
            *(f"--selector={selector}", "--output=json"),
        )
        return [(item["metadata"]["namespace"], item["metadata"]["name"]) for item in json.loads(printed)["items"]]

    def _object(self, cluster: str, kind: str, name: str, namespace: str) -> dict[str, Any]:
        """One object, or an empty one where there is none."""
        printed = self._output(
            *("kubectl", "--context", self._contexts[cluster], "--namespace", namespace),
            *("get", kind, name, "--ignore-not-found", "--output=json"),
            strict=False,
        )
        return next(_documents(printed), {})

    def _output(self, *command: str, strict: bool = True) -> str:
        """What a command prints; where it fails, with its complaint after it."""
        process = subprocess.run(command, env=self._environment, capture_output=True, text=True, check=False)
        if process.returncode == 0 or not strict:
            return process.stdout if process.returncode == 0 else process.stdout + process.stderr
        raise CheckFailed(f"{' '.join(command)} ended with {process.returncode}: {_last_line(process.stderr)}")


class CheckFailed(Exception):
    """A tool that a check needs did not work."""


def table(rows: Iterator[CheckResult], say: Callable[[str], None]) -> bool:
    """Print the rows as they come; whether all have passed."""
    passed = True
    for row in rows:
        say(f"  {'√' if row.passed else '×'}  {row.subject:<16}  {row.check:<26}  {row.detail}")
        passed = passed and row.passed
    return passed


def _retry_until(look: Callable[[], tuple[bool, Found]]) -> tuple[bool, Found]:
    """Look until it is true, or patience ends."""
    deadline = time.monotonic() + PATIENCE
    while True:
        passed, detail = look()
        if passed or time.monotonic() > deadline:
            return passed, detail
        time.sleep(0.5)


def _documents(text: str) -> Iterator[Any]:
    """The JSON documents at the start of a text, which may have other lines after and between them."""
    decoder = json.JSONDecoder()
    position = 0
    while True:
        starts = [found for found in (text.find("{", position), text.find("[", position)) if found >= 0]
        if not starts:
            return
        try:
            document, position = decoder.raw_decode(text, min(starts))
        except ValueError:
            return
        yield document


def _check(document: Mapping[str, Any]) -> str:
    """The command that has printed one of the documents, which only its first category tells."""
    extension = _EXTENSIONS.get(document["categories"][0]["categoryName"])
    return f"linkerd {extension} check" if extension else "linkerd check"


def _told(check: Mapping[str, Any]) -> str:
    # It may have several lines, and paragraphs; a row of the table is one.
    return f"{check['description']}: {' '.join((check.get('error') or '').split())}"


def _last_line(text: str) -> str:
    return (text.strip().splitlines() or [""])[-1]
