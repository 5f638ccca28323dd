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
from mesh.config.errors import ELLIPSIS, SettingsError, ValidationErrors, format_path
from mesh.config.models.stack_file import StackFile
from mesh.config.parser import parse_stack_file
from mesh.config.resolved import ClusterMeshMember, ClusterSettings, Sample, Settings, merge_values, value_paths
from mesh.config.schema_lookup import TOP_LEVEL_KEYS
from mesh.config.validation import cilium, clusters, extensions, link_modes, links, samples, trust

__all__ = [
    "PROJECT",
    "SECRET_KEYS",
    "ClusterMeshMember",
    "ClusterSettings",
    "Sample",
    "Settings",
    "SettingsError",
    "cluster_names",
    "load",
    "merge_values",
    "parse",
    "parse_stack_file",
    "settings_from_config",
    "value_paths",
]

PROJECT = "multicluster-mesh"

# Where secrets belong; they are shown nowhere, and nothing else may be one.
SECRET_KEYS = ("buoyantCloud", "dashboardPassword", "imagePullSecret", "kubeconfigs", "trust")
# What is a text even where it looks like JSON.
TEXT_KEYS = ("dashboardPassword", "imagePullSecret")


def load() -> Settings:
    """The settings of the stack that is being previewed or updated.

    Raises:
        SettingsError: the stack file has faults; no cluster has been contacted yet.
    """
    configured = pulumi.runtime.get_config_env()
    return settings_from_config(
        configured, pulumi.runtime.get_config_secret_keys_env(), pulumi.get_project(), os.environ
    )


def settings_from_config(
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
                    twice.append(f"{key}: {ELLIPSIS}: {rule}; take one of the two out")
                repeated: list[str] = []
                # It makes an empty text of a key with nothing after its colon.
                found[name] = None if value == "" else value if name in TEXT_KEYS else _decode_json(value, repeated)
                if repeated:
                    which = (
                        "a key" if name in SECRET_KEYS or key in secret_keys else f"the key {_quote_key(repeated[0])}"
                    )
                    rule = f"{which} is there twice in one mapping"
                    twice.append(f"{format_path((name,))}: {ELLIPSIS}: {rule}; take one of the two out")
        secret |= {key.removeprefix(prefix) for key in secret_keys if key.startswith(prefix)}
    try:
        settings = parse(found, environment, secret)
    except SettingsError as error:
        raise SettingsError([*twice, *error.errors]) from None
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
    faults = ValidationErrors(hidden={*SECRET_KEYS, *secret}, secret=secret)
    # A secret in the wrong place is left out of all that follows, where messages would tell of it.
    misplaced = sorted((set(secret) & set(TOP_LEVEL_KEYS)) - set(SECRET_KEYS))
    reading = parse_stack_file({key: value for key, value in config.items() if key not in misplaced}, faults)
    file = reading.file
    _check_secrets(config, file, misplaced, secret, faults)
    names = cluster_names(config)
    sources = chart_sources.resolve_chart_sources(file, environment, linkerd_release.release_from_name(file), faults)
    linkerd_charts = sources["linkerd"]
    chosen = linkerd_release.resolve_release(
        file, linkerd_charts, own=chart_sources.is_linkerds_own(linkerd_charts), faults=faults
    )
    found = clusters.resolve_clusters(reading, names, chosen, environment, faults)
    linked = links.resolve_links(reading, names, faults)
    links.check_targets(found, list(linked), chosen, faults)
    link_modes.check_links(reading, linked, chosen, faults)
    trust.check_trust(file.trust, found, names, faults)
    joined = cilium.resolve_clustermesh(reading, names, faults)
    linkerd = cilium.has_linkerd(config)
    if not linkerd:
        cilium.check_without_linkerd(reading, faults)
    extended = extensions.resolve_extensions(reading, names, linked, chosen, faults, linkerd=linkerd)
    placed = samples.resolve_samples(reading, names, list(linked), extended, chosen, faults, linkerd=linkerd)
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
        image_pull_secret=_reveal(file.image_pull_secret),
        preflight=file.preflight,
        dashboard_password=_reveal(file.dashboard_password),
        samples=tuple(placed),
        trust_domain=file.linkerd.trust_domain,
        warnings=faults.warnings,
    )


def cluster_names(config: Mapping[str, Any]) -> list[str]:
    """All names of clusters in a configuration, whatever is wrong with them."""
    found = config.get("clusters")
    return [str(name) for name in found] if isinstance(found, dict) else []


def _check_secrets(
    config: Mapping[str, Any],
    file: StackFile,
    misplaced: Collection[str],
    secret: Collection[str],
    faults: ValidationErrors,
) -> None:
    for key in misplaced:
        rule = "nothing in here may be secret: it goes into Helm values, outputs and messages"
        faults.add_syntax_error(
            (key,), ELLIPSIS, rule, f"write it in clear (secrets belong in {', '.join(SECRET_KEYS)})"
        )
    for key in SECRET_KEYS:
        if key not in secret and _holds_secrets(key, config.get(key)):
            rule = "a secret stands in the stack file in clear"
            remedy = "store it with `pulumi config set --secret --path …`, and replace the one that was seen"
            faults.add((key,), ELLIPSIS, rule, remedy)
    if file.image_pull_secret is not None and not _is_docker_config(file.image_pull_secret.get_secret_value()):
        rule = "not the content of a .dockerconfigjson"
        remedy = 'give it as it is, not in base64: {"auths": {"registry.example.com": {…}}}'
        faults.add(("imagePullSecret",), ELLIPSIS, rule, remedy)


def _holds_secrets(key: str, value: Any) -> bool:
    if key in TEXT_KEYS:
        return bool(value)
    if key == "buoyantCloud" or not isinstance(value, dict):
        return False
    if key == "kubeconfigs":
        return any(isinstance(each, str) for each in value.values())
    issuers = value.get("issuers")
    holders = [value.get("anchor"), *(issuers.values() if isinstance(issuers, dict) else [])]
    return any(isinstance(each, dict) and isinstance(each.get("key"), str) for each in holders)


def _reveal(secret: SecretStr | None) -> str | None:
    return secret.get_secret_value() if secret is not None else None


def _is_docker_config(text: str) -> bool:
    found = _decode_json(text)
    return isinstance(found, dict) and isinstance(found.get("auths"), dict)


def _decode_json(value: str, repeated: list[str] | None = None) -> Any:
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
        return json.loads(value, parse_constant=_reject_constant, object_pairs_hook=mapping)
    except (ValueError, RecursionError):
        return value


def _quote_key(key: str) -> str:
    return json.dumps(key if len(key) <= 80 else f"{key[:79]}{ELLIPSIS}")


def _reject_constant(constant: str) -> Never:
    raise ValueError(f"{constant} is not JSON")
