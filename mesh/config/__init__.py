"""The stack file, typed: a strict load, then defaults, then one error that lists every fault.

`load()` is the only place that reads Pulumi's configuration and the environment.
"""

from __future__ import annotations

import json
import os
from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any, Never

import pulumi
from pydantic import SecretStr

from mesh.config import chart_sources, linkerd_release
from mesh.config.errors import LEFT_OUT, Faults, SettingsError, written
from mesh.config.models.stack_file import StackFile
from mesh.config.parser import read
from mesh.config.resolved import Cluster, MeshedCilium, Sample, Settings, merged, overridden
from mesh.config.schema_lookup import TOP
from mesh.config.validation import cilium, clusters, extensions, link_modes, links, samples, trust

__all__ = [
    "PROJECT",
    "SECRETS",
    "Cluster",
    "MeshedCilium",
    "Sample",
    "Settings",
    "SettingsError",
    "cluster_names",
    "load",
    "merged",
    "of_stack",
    "overridden",
    "parse",
    "read",
]

PROJECT = "multicluster-mesh"

# Where secrets belong; they are shown nowhere, and nothing else may be one.
SECRETS = ("buoyantCloud", "dashboardPassword", "imagePullSecret", "kubeconfigs", "trust")
# What is a text even where it looks like JSON.
TEXTS = ("dashboardPassword", "imagePullSecret")


def load() -> Settings:
    """The settings of the stack that is being previewed or updated.

    Raises:
        SettingsError: the stack file has faults; no cluster has been contacted yet.
    """
    configured = pulumi.runtime.get_config_env()
    return of_stack(configured, pulumi.runtime.get_config_secret_keys_env(), pulumi.get_project(), os.environ)


def of_stack(
    configured: Mapping[str, str], secret_keys: Collection[str], project: str, environment: Mapping[str, str]
) -> Settings:
    """Settings from a stack's configuration as Pulumi hands it out.

    Args:
        configured: all of it, structured values as JSON.
        secret_keys: the keys that hold secrets.
        project: the project's name.
        environment: of the process.

    Raises:
        SettingsError: naming every fault.
    """
    # A project made of this one by `pulumi new` may have another name.
    prefixes = (f"{project}:", f"{PROJECT}:")
    found: dict[str, Any] = {}
    secret: set[str] = set()
    twice: list[str] = []
    for prefix in prefixes:
        for key, value in configured.items():
            if key.startswith(prefix):
                name = key.removeprefix(prefix)
                if name in found and prefix != prefixes[0]:
                    rule = f"{prefixes[0]}{name} says this already"
                    twice.append(f"{key}: {LEFT_OUT}: {rule}; take one of the two out")
                repeated: list[str] = []
                # It makes an empty text of a key with nothing after its colon.
                found[name] = None if value == "" else value if name in TEXTS else _decoded(value, repeated)
                if repeated:
                    which = "a key" if name in SECRETS or key in secret_keys else f"the key {_quoted(repeated[0])}"
                    rule = f"{which} is there twice in one mapping"
                    twice.append(f"{written((name,))}: {LEFT_OUT}: {rule}; take one of the two out")
        secret |= {key.removeprefix(prefix) for key in secret_keys if key.startswith(prefix)}
    try:
        settings = parse(found, environment, secret)
    except SettingsError as error:
        raise SettingsError([*twice, *error.faults]) from None
    if twice:
        raise SettingsError(twice)
    return settings


def parse(config: Mapping[str, Any], environment: Mapping[str, str], secret: Collection[str] = ()) -> Settings:
    """Settings from the decoded configuration.

    Args:
        config: its keys without the project's prefix.
        environment: of the process.
        secret: the keys that hold secrets.

    Raises:
        SettingsError: naming every fault.
    """
    faults = Faults(hidden={*SECRETS, *secret}, secret=secret)
    # A secret in the wrong place is left out of all that follows, where messages would tell of it.
    misplaced = sorted((set(secret) & set(TOP)) - set(SECRETS))
    reading = read({key: value for key, value in config.items() if key not in misplaced}, faults)
    file = reading.file
    _secrets(config, file, misplaced, secret, faults)
    names = cluster_names(config)
    sources = chart_sources.sources(file, environment, linkerd_release.named(file), faults)
    linkerd_charts = sources["linkerd"]
    chosen = linkerd_release.release(
        file, linkerd_charts, own=chart_sources.is_linkerds_own(linkerd_charts), faults=faults
    )
    found = clusters.clusters(reading, names, chosen, environment, faults)
    linked = links.links(reading, names, faults)
    links.targets(found, list(linked), chosen, faults)
    link_modes.check(reading, linked, chosen, faults)
    trust.check(file.trust, found, names, faults)
    joined = cilium.members(reading, names, faults)
    linkerd = cilium.has_linkerd(config)
    if not linkerd:
        cilium.without_linkerd(reading, faults)
    extended = extensions.extensions(reading, names, linked, chosen, faults, linkerd=linkerd)
    placed = samples.samples(reading, names, list(linked), extended, chosen, faults, linkerd=linkerd)
    faults.raise_if_any()
    return Settings(
        clusters=tuple(
            replace(
                cluster,
                extensions=extended[cluster.name],
                cilium=joined.get(cluster.name),
                multicluster=linkerd and len(names) > 1,
            )
            for cluster in found
        ),
        links=tuple(linked),
        link_options=linked,
        charts=sources,
        trust=file.trust,
        linkerd=linkerd,
        cilium=file.cilium,
        image_pull_secret=_revealed(file.image_pull_secret),
        preflight=file.preflight,
        dashboard_password=_revealed(file.dashboard_password),
        samples=tuple(placed),
        trust_domain=file.linkerd.trust_domain,
        warnings=faults.warnings,
    )


def cluster_names(config: Mapping[str, Any]) -> list[str]:
    """All names of clusters in a configuration, whatever is wrong with them."""
    found = config.get("clusters")
    return [str(name) for name in found] if isinstance(found, dict) else []


def _secrets(
    config: Mapping[str, Any], file: StackFile, misplaced: Collection[str], secret: Collection[str], faults: Faults
) -> None:
    for key in misplaced:
        rule = "nothing in here may be secret: it goes into Helm values, outputs and messages"
        faults.add_of_form((key,), LEFT_OUT, rule, f"write it in clear (secrets belong in {', '.join(SECRETS)})")
    for key in SECRETS:
        if key not in secret and _holds_secrets(key, config.get(key)):
            rule = "a secret stands in the stack file in clear"
            remedy = "store it with `pulumi config set --secret --path …`, and replace the one that was seen"
            faults.add((key,), LEFT_OUT, rule, remedy)
    if file.image_pull_secret is not None and not _is_docker_config(file.image_pull_secret.get_secret_value()):
        rule = "not the content of a .dockerconfigjson"
        remedy = 'give it as it is, not in base64: {"auths": {"registry.example.com": {…}}}'
        faults.add(("imagePullSecret",), LEFT_OUT, rule, remedy)


def _holds_secrets(key: str, value: Any) -> bool:
    if key in TEXTS:
        return bool(value)
    if key == "buoyantCloud" or not isinstance(value, dict):
        return False
    if key == "kubeconfigs":
        return any(isinstance(each, str) for each in value.values())
    issuers = value.get("issuers")
    holders = [value.get("anchor"), *(issuers.values() if isinstance(issuers, dict) else [])]
    return any(isinstance(each, dict) and isinstance(each.get("key"), str) for each in holders)


def _revealed(secret: SecretStr | None) -> str | None:
    return secret.get_secret_value() if secret is not None else None


def _is_docker_config(text: str) -> bool:
    found = _decoded(text)
    return isinstance(found, dict) and isinstance(found.get("auths"), dict)


def _decoded(value: str, repeated: list[str] | None = None) -> Any:
    """Pulumi hands structured configuration over as JSON, and everything else as a string.

    Args:
        value: what it hands over.
        repeated: where keys go that a mapping has more than once, of which the last one counts.
    """

    def mapping(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for key, item in pairs:
            if repeated is not None and key in found:
                repeated.append(key)
            found[key] = item
        return found

    try:
        return json.loads(value, parse_constant=_refused, object_pairs_hook=mapping)
    except (ValueError, RecursionError):
        return value


def _quoted(key: str) -> str:
    return json.dumps(key if len(key) <= 80 else f"{key[:79]}{LEFT_OUT}")


def _refused(constant: str) -> Never:
    raise ValueError(f"{constant} is not JSON")
