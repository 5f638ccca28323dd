"""Charts rendered by `helm template`, as the Kubernetes provider would install them.

Follows https://helm.sh/docs/helm/helm_template/. The inputs of a Release are described at
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

from mesh.kube.connection import Access
from mesh.pulumi_constants import UNKNOWN_VALUE
from mesh.redaction import SECRET
from mesh.strict_yaml import StrictYamlError
from review.discovery import ApiResources
from review.objects import parse_manifest
from review.redaction import redact_text

# To pull one chart, or to render it.
HELM_TIMEOUT_S = 120


class RenderError(Exception):
    """A chart that cannot be pulled or rendered; the message is Helm's."""


@dataclass(frozen=True, kw_only=True)
class ReleaseSpec:
    """A Helm release as the inputs of its resource define it."""

    name: str
    namespace: str
    chart: str  # name in a repository, oci:// reference, or path
    version: str
    repository: Mapping[str, str]
    values: Mapping[str, Any]
    has_crds: bool  # the chart's crds/ folder is installed too
    has_hooks: bool

    @classmethod
    def from_inputs(cls, inputs: Mapping[str, Any], *, is_new: bool) -> ReleaseSpec:
        """Return the release that a resource's inputs define.

        Args:
            inputs: inputs of the Release.
            is_new: whether the release does not exist yet. Helm ignores a chart's crds/ folder in upgrades.

        Raises:
            RenderError: required inputs are unknown or secret.
        """
        for key in ("name", "namespace", "chart", "version", "values"):
            if inputs.get(key) == UNKNOWN_VALUE:
                raise RenderError(f"the release's {key} is unknown until the update")
        if inputs.get("values") == SECRET:
            raise RenderError("the release's values are one secret")
        options = inputs.get("repositoryOpts") or {}
        return cls(
            name=str(inputs.get("name") or ""),
            namespace=str(inputs.get("namespace") or "default"),
            chart=str(inputs.get("chart") or ""),
            version=str(inputs.get("version") or ""),
            repository={key: value for key, value in options.items() if isinstance(value, str) and value},
            values=inputs.get("values") or {},
            has_crds=is_new and not inputs.get("skipCrds"),
            has_hooks=not inputs.get("disableWebhooks"),
        )


class Renderer:
    """`helm template` with a folder of pulled charts.

    Args:
        helm: path of the Helm program.
        folder: existing folder for charts and kubeconfigs; deleted after the review.
        environment: the whole environment of Helm.
    """

    def __init__(self, helm: Path, folder: Path, environment: Mapping[str, str]) -> None:
        self._helm = helm
        self._folder = folder
        self._environment = dict(environment)
        self._locks: dict[Path, threading.Lock] = {}
        self._guard = threading.Lock()

    def render(self, release: ReleaseSpec, api_resources: ApiResources, access: Access | None) -> list[dict[str, Any]]:
        """Return the objects of a release.

        Args:
            release: the release.
            api_resources: API discovery of the cluster.
            access: credentials for lookups in templates; None if the cluster is unreachable.

        Raises:
            RenderError: the chart cannot be pulled or rendered.
        """
        command = ["template", release.name, str(self._find_chart(release))]
        command += ["--namespace", release.namespace, "--values", "-", "--skip-tests"]
        command.append("--include-crds" if release.has_crds else "--skip-crds")
        if not release.has_hooks:
            command.append("--no-hooks")
        if api_resources.version is not None:
            command += ["--kube-version", api_resources.version]
        if api_resources.api_versions:
            command += ["--api-versions", ",".join(api_resources.api_versions)]
        # A forbidden lookup fails the rendering. Without lookups, templates treat the objects as missing.
        attempts = [self._build_lookup_options(access), []] if access is not None else [[]]
        for number, options in enumerate(attempts):
            try:
                return parse_manifest(self._run([*command, *options], json.dumps(release.values)))
            except RenderError:
                if number == len(attempts) - 1:
                    raise
            except StrictYamlError as error:
                raise RenderError(f"the rendered chart is not valid YAML: {redact_text(str(error))}") from None
        raise AssertionError("each attempt returns or raises")

    def _build_lookup_options(self, access: Access) -> list[str]:
        options = ["--dry-run=server", "--kube-context", access.context]
        if access.kubeconfig:
            path = Path(access.kubeconfig)
            if "\n" in access.kubeconfig or access.kubeconfig.lstrip().startswith("{"):
                path = self._folder / f"kubeconfig-{hashlib.sha256(access.kubeconfig.encode()).hexdigest()[:16]}"
                with self._guard:
                    if not path.exists():
                        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
                        with os.fdopen(descriptor, "w") as file:
                            file.write(access.kubeconfig)
            options += ["--kubeconfig", str(path)]
        return options

    def _find_chart(self, release: ReleaseSpec) -> Path:
        """Return the local path of a chart, and pull the chart if it is remote."""
        if not release.repository.get("repo") and Path(release.chart).exists():
            return Path(release.chart)
        key = json.dumps([release.chart, release.version, dict(release.repository)], sort_keys=True)
        folder = self._folder / hashlib.sha256(key.encode()).hexdigest()[:16]
        with self._guard:
            lock = self._locks.setdefault(folder, threading.Lock())
        with lock:
            if not folder.is_dir():
                folder.mkdir()
                self._run(["pull", release.chart, *self._build_source_options(release), "--destination", str(folder)])
            archives = sorted(folder.glob("*.tgz"))
        if not archives:
            raise RenderError(f"chart {release.chart} {release.version} could not be pulled")
        return archives[0]

    @staticmethod
    def _build_source_options(release: ReleaseSpec) -> Sequence[str]:
        options = ["--version", release.version] if release.version else []
        for key, option in (
            ("repo", "--repo"),
            ("caFile", "--ca-file"),
            ("certFile", "--cert-file"),
            ("keyFile", "--key-file"),
            ("username", "--username"),
        ):
            if key in release.repository:
                options += [option, release.repository[key]]
        return options

    def _run(self, arguments: Sequence[str], stdin: str = "") -> str:
        try:
            process = subprocess.run(
                [str(self._helm), *arguments],
                env=self._environment,
                input=stdin,
                capture_output=True,
                text=True,
                timeout=HELM_TIMEOUT_S,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise RenderError(f"helm {arguments[0]}: no result after {HELM_TIMEOUT_S} seconds") from None
        except OSError as error:
            raise RenderError(f"helm: {error.strerror}") from None
        if process.returncode != 0:
            lines = [line for line in process.stderr.splitlines() if line.strip() and not line.startswith("WARNING")]
            raise RenderError(redact_text("\n".join(lines) or f"helm {arguments[0]}: exit code {process.returncode}"))
        return process.stdout
