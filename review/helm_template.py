"""Charts, rendered by Helm as a release would install them.

Follows https://helm.sh/docs/helm/helm_template/ and what the Kubernetes provider does with a Release's inputs:
https://www.pulumi.com/registry/packages/kubernetes/api-docs/helm/v3/release/.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mesh.kube.client import Access
from mesh.strict_yaml import StrictYamlError
from policy.planned_resource import SECRET, UNKNOWN
from review.discovery import ApiResources
from review.objects import documents
from review.redaction import scrubbed

# Seconds for one chart to arrive, or to be rendered.
PATIENCE = 120


class RenderError(Exception):
    """A chart that can't be had or rendered; the message is Helm's."""


@dataclass(frozen=True, kw_only=True)
class ReleaseSpec:
    """A release as it is wanted: the inputs of its resource."""

    name: str
    namespace: str
    chart: str  # a name in a repository, an oci:// reference, or a path
    version: str
    repository: Mapping[str, str]
    values: Mapping[str, Any]
    crds: bool  # whether what lies in the chart's crds/ is installed too
    hooks: bool

    @classmethod
    def of(cls, inputs: Mapping[str, Any], *, first: bool) -> ReleaseSpec:
        """From a resource's inputs.

        Args:
            inputs: of the Release.
            first: whether there is no such release yet: Helm leaves a chart's crds/ alone ever after.

        Raises:
            RenderError: it can't be told what the release will be.
        """
        for key in ("name", "namespace", "chart", "version", "values"):
            if inputs.get(key) == UNKNOWN:
                raise RenderError(f"only the update itself will know its {key}")
        if inputs.get("values") == SECRET:
            raise RenderError("all of its values are one secret")
        options = inputs.get("repositoryOpts") or {}
        return cls(
            name=str(inputs.get("name") or ""),
            namespace=str(inputs.get("namespace") or "default"),
            chart=str(inputs.get("chart") or ""),
            version=str(inputs.get("version") or ""),
            repository={key: value for key, value in options.items() if isinstance(value, str) and value},
            values=inputs.get("values") or {},
            crds=first and not inputs.get("skipCrds"),
            hooks=not inputs.get("disableWebhooks"),
        )


class Renderer:
    """Helm, with a folder for the charts that it has pulled.

    Args:
        helm: the program.
        folder: where charts are kept; it must exist.
        environment: the whole environment of its processes.
    """

    def __init__(self, helm: Path, folder: Path, environment: Mapping[str, str]) -> None:
        self._helm = helm
        self._folder = folder
        self._environment = dict(environment)
        self._locks: dict[Path, threading.Lock] = {}
        self._guard = threading.Lock()

    def render(self, wanted: ReleaseSpec, offer: ApiResources, way: Access | None) -> list[dict[str, Any]]:
        """The objects that a release will have.

        Args:
            wanted: the release.
            offer: what its cluster offers.
            way: to the cluster, for what templates look up there; None where it can't be reached.

        Raises:
            RenderError: it can't be rendered.
        """
        command = ["template", wanted.name, str(self._chart(wanted)), "--namespace", wanted.namespace, "--values", "-"]
        command += ["--skip-tests", *(["--include-crds"] if wanted.crds else ["--skip-crds"])]
        if not wanted.hooks:
            command.append("--no-hooks")
        if offer.version is not None:
            command += ["--kube-version", offer.version]
        if offer.api_versions:
            command += ["--api-versions", ",".join(offer.api_versions)]
        # A look-up that isn't allowed ends the rendering; without it, templates take what they look for as missing.
        tries = [self._looking_up(way), []] if way is not None else [[]]
        for number, options in enumerate(tries):
            try:
                return documents(self._run([*command, *options], json.dumps(wanted.values)))
            except RenderError:
                if number == len(tries) - 1:
                    raise
            except StrictYamlError as error:
                raise RenderError(f"what the chart renders can't be read: {scrubbed(str(error))}") from None
        raise AssertionError("a try either returns or raises")

    def _looking_up(self, way: Access) -> list[str]:
        options = ["--dry-run=server", "--kube-context", way.context]
        if way.kubeconfig:
            path = Path(way.kubeconfig)
            if "\n" in way.kubeconfig or way.kubeconfig.lstrip().startswith("{"):
                path = self._folder / f"kubeconfig-{hashlib.sha256(way.kubeconfig.encode()).hexdigest()[:16]}"
                with self._guard:
                    if not path.exists():
                        # Nobody else may read it; the folder goes when the review is done.
                        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
                        with os.fdopen(descriptor, "w") as file:
                            file.write(way.kubeconfig)
            options += ["--kubeconfig", str(path)]
        return options

    def _chart(self, wanted: ReleaseSpec) -> Path:
        """Where a chart is on this machine."""
        if not wanted.repository.get("repo") and Path(wanted.chart).exists():
            return Path(wanted.chart)
        what = json.dumps([wanted.chart, wanted.version, dict(wanted.repository)], sort_keys=True)
        folder = self._folder / hashlib.sha256(what.encode()).hexdigest()[:16]
        with self._guard:
            lock = self._locks.setdefault(folder, threading.Lock())
        with lock:
            if not folder.is_dir():
                folder.mkdir()
                self._run(["pull", wanted.chart, *self._source(wanted), "--destination", str(folder)])
            archives = sorted(folder.glob("*.tgz"))
        if not archives:
            raise RenderError(f"chart {wanted.chart} {wanted.version} could not be pulled")
        return archives[0]

    @staticmethod
    def _source(wanted: ReleaseSpec) -> Sequence[str]:
        found = ["--version", wanted.version] if wanted.version else []
        for key, option in (
            ("repo", "--repo"),
            ("caFile", "--ca-file"),
            ("certFile", "--cert-file"),
            ("keyFile", "--key-file"),
            ("username", "--username"),
        ):
            if key in wanted.repository:
                found += [option, wanted.repository[key]]
        return found

    def _run(self, arguments: Sequence[str], given: str = "") -> str:
        try:
            ended = subprocess.run(
                [str(self._helm), *arguments],
                env=self._environment,
                input=given,
                capture_output=True,
                text=True,
                timeout=PATIENCE,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise RenderError(f"helm {arguments[0]}: not done after {PATIENCE} seconds") from None
        except OSError as error:
            raise RenderError(f"helm: {error.strerror}") from None
        if ended.returncode != 0:
            said = [line for line in ended.stderr.splitlines() if line.strip() and not line.startswith("WARNING")]
            raise RenderError(scrubbed("\n".join(said) or f"helm {arguments[0]} ended with {ended.returncode}"))
        return ended.stdout
