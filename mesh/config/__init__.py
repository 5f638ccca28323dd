"""Stack file: strict parsing, defaults, and one exception for all errors.

`load()` is the only place that reads Pulumi's configuration and the environment.
"""

from __future__ import annotations

import json
import os
from collections.abc import Collection, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Never

import pulumi
from pydantic import SecretStr

from mesh.config.chart_sources import add_default_sources, read_chart_sources
from mesh.config.chart_values import list_chart_values
from mesh.config.errors import ELLIPSIS, SettingsError, ValidationErrors, format_path
from mesh.config.linkerd_release import resolve_linkerd_release
from mesh.config.models.stack_file import StackFile
from mesh.config.outline import resolve_outline
from mesh.config.parser import parse_stack_file
from mesh.config.resolved import (
    ClusterMeshMember,
    ClusterSettings,
    DeclaredNamespace,
    DeclaredService,
    Profile,
    Sample,
    Settings,
    merge_values,
    value_paths,
)
from mesh.config.schema_lookup import TOP_LEVEL_KEYS
from mesh.config.stack_file_order import has_ordered_weights, read_stack_file_config, restore_weight_order
from mesh.config.validation import clusters, link_options, links, trust
from mesh.config.validation.cilium import has_linkerd

__all__ = [
    "PROJECT",
    "SECRET_KEYS",
    "ClusterMeshMember",
    "ClusterSettings",
    "DeclaredNamespace",
    "DeclaredService",
    "Profile",
    "Sample",
    "Settings",
    "SettingsError",
    "list_cluster_names",
    "load",
    "merge_values",
    "parse",
    "parse_stack_file",
    "settings_from_config",
    "value_paths",
]

PROJECT = "multicluster-mesh"

# Only these keys may contain secrets. No message shows their values.
SECRET_KEYS = ("buoyantCloud", "dashboardPassword", "imagePullSecret", "kubeconfigs", "trust")
# Values of these keys are text, even if they look like JSON.
TEXT_KEYS = ("dashboardPassword", "imagePullSecret")


def load() -> Settings:
    """Return the settings of the stack that Pulumi previews or updates.

    Raises:
        SettingsError: the stack file is invalid; no cluster has been contacted yet.
    """
    return settings_from_config(
        pulumi.runtime.get_config_env(),
        pulumi.runtime.get_config_secret_keys_env(),
        pulumi.get_project(),
        os.environ,
        # Pulumi runs the program in the project's folder.
        Path(f"Pulumi.{pulumi.get_stack()}.yaml"),
    )


def settings_from_config(
    pulumi_config: Mapping[str, str],
    secret_keys: Collection[str],
    project: str,
    environment: Mapping[str, str],
    stack_file: Path | None = None,
) -> Settings:
    """Return the settings for a stack's configuration in the form that Pulumi passes to programs.

    Args:
        pulumi_config: the whole configuration; structured values are JSON.
        secret_keys: the keys of secret values.
        project: the project's name.
        environment: environment variables of the process.
        stack_file: the stack file, which has the order of the weights; None to keep Pulumi's order.

    Raises:
        SettingsError: the configuration is invalid; the exception contains every error.
    """
    # A project created from this one by `pulumi new` can have another name.
    prefixes = (f"{project}:", f"{PROJECT}:")
    config: dict[str, Any] = {}
    secret: set[str] = set()
    duplicates: list[str] = []
    for prefix in prefixes:
        for key, value in pulumi_config.items():
            if key.startswith(prefix):
                name = key.removeprefix(prefix)
                if name in config and prefix != prefixes[0]:
                    rule = f"duplicate of {prefixes[0]}{name}"
                    duplicates.append(f"{key}: {ELLIPSIS}: {rule}; remove one of the two")
                repeated: list[str] = []
                config[name] = _decode_value(name, value, repeated)
                if repeated:
                    is_secret = name in SECRET_KEYS or key in secret_keys
                    rule = "duplicate key in one mapping" if is_secret else f"duplicate key {_quote_key(repeated[0])}"
                    duplicates.append(f"{format_path((name,))}: {ELLIPSIS}: {rule}; remove one of the two")
        secret |= {key.removeprefix(prefix) for key in secret_keys if key.startswith(prefix)}
    if stack_file is not None and has_ordered_weights(config):
        restore_weight_order(config, read_stack_file_config(stack_file, prefixes))
    try:
        settings = parse(config, environment, secret)
    except SettingsError as error:
        raise SettingsError([*duplicates, *error.errors]) from None
    if duplicates:
        raise SettingsError(duplicates)
    return settings


def parse(
    config: Mapping[str, Any],
    environment: Mapping[str, str],
    secret: Collection[str] = (),
    folder: Path = Path(),
) -> Settings:
    """Return the settings for a decoded configuration.

    Args:
        config: the configuration; its keys have no project prefix.
        environment: environment variables of the process.
        secret: the keys of secret values.
        folder: folder of the stack file, which paths of documents are relative to.

    Raises:
        SettingsError: the configuration is invalid; the exception contains every error.
    """
    errors = ValidationErrors(hidden={*SECRET_KEYS, *secret}, secret=secret)
    # Remove misplaced secrets first, so that no later message can show them.
    misplaced = sorted((set(secret) & set(TOP_LEVEL_KEYS)) - set(SECRET_KEYS))
    parsed = parse_stack_file({key: value for key, value in config.items() if key not in misplaced}, errors)
    file = parsed.file
    _check_secrets(config, file, misplaced, secret, errors)
    names = list_cluster_names(config)
    sources = read_chart_sources(file, environment, errors)
    linkerd_release, linkerd_source = resolve_linkerd_release(
        file.linkerd.version, sources.get("linkerd"), errors, has_linkerd=has_linkerd(config)
    )
    resolved_clusters = clusters.resolve_clusters(parsed, names, linkerd_release, environment, errors)
    outline = resolve_outline(parsed, names, linkerd_release, errors, has_linkerd=has_linkerd(config), folder=folder)
    links.check_targets(resolved_clusters, list(outline.links), linkerd_release, errors)
    link_options.check_links(parsed, outline.links, linkerd_release, errors)
    trust.check_trust(file.trust, resolved_clusters, names, errors)
    errors.raise_if_any()
    charts = add_default_sources(sources, linkerd_source)
    all_clusters = tuple(
        replace(
            cluster,
            extensions=outline.extensions[cluster.name],
            cilium=outline.cilium.get(cluster.name),
            has_multicluster=outline.has_linkerd and len(names) > 1,
        )
        for cluster in resolved_clusters
    )
    return Settings(
        clusters=all_clusters,
        links=tuple(outline.links),
        link_options=outline.links,
        charts=charts,
        trust=file.trust,
        has_linkerd=outline.has_linkerd,
        linkerd_release=linkerd_release,
        cilium=file.cilium,
        image_pull_secret=_reveal(file.image_pull_secret),
        preflight=file.preflight,
        dashboard_password=_reveal(file.dashboard_password),
        samples=outline.samples,
        namespaces=outline.namespaces,
        services=outline.services,
        trust_domain=file.linkerd.trust_domain,
        chart_values=list_chart_values(
            file, all_clusters, list(outline.links), linkerd_release, charts, has_linkerd=outline.has_linkerd
        ),
        warnings=errors.warnings,
    )


def list_cluster_names(config: Mapping[str, Any]) -> list[str]:
    """Return the names of all clusters in a configuration, including invalid clusters."""
    clusters = config.get("clusters")
    return [str(name) for name in clusters] if isinstance(clusters, dict) else []


def _check_secrets(
    config: Mapping[str, Any],
    file: StackFile,
    misplaced: Collection[str],
    secret: Collection[str],
    errors: ValidationErrors,
) -> None:
    for key in misplaced:
        rule = "secret values are not allowed here, because they would appear in Helm values, outputs and messages"
        errors.add_syntax_error(
            (key,), ELLIPSIS, rule, f"write it in plaintext (only {', '.join(SECRET_KEYS)} can be secret)"
        )
    for key in SECRET_KEYS:
        if key not in secret and _has_secrets(key, config.get(key)):
            rule = "secret in plaintext in the stack file"
            remedy = "store it with `pulumi config set --secret --path …`, and replace the exposed one"
            errors.add((key,), ELLIPSIS, rule, remedy)
    if file.image_pull_secret is not None and not _is_docker_config(file.image_pull_secret.get_secret_value()):
        rule = "not the content of a .dockerconfigjson"
        remedy = 'write JSON, not base64: {"auths": {"registry.example.com": {…}}}'
        errors.add(("imagePullSecret",), ELLIPSIS, rule, remedy)


def _has_secrets(key: str, value: Any) -> bool:
    if key in TEXT_KEYS:
        return bool(value)
    if key == "buoyantCloud" or not isinstance(value, dict):
        return False
    if key == "kubeconfigs":
        return any(isinstance(kubeconfig, str) for kubeconfig in value.values())
    issuers = value.get("issuers")
    key_pairs = [value.get("anchor"), *(issuers.values() if isinstance(issuers, dict) else [])]
    return any(isinstance(pair, dict) and isinstance(pair.get("key"), str) for pair in key_pairs)


def _reveal(secret: SecretStr | None) -> str | None:
    return secret.get_secret_value() if secret is not None else None


def _is_docker_config(text: str) -> bool:
    content = _decode_json(text, [])
    return isinstance(content, dict) and isinstance(content.get("auths"), dict)


def _decode_value(key: str, value: str, repeated: list[str]) -> Any:
    """Return a configuration value; Pulumi passes structured values as JSON, and everything else as text."""
    if value == "":
        return None  # the key of an empty mapping entry, such as `clusters:`
    return value if key in TEXT_KEYS else _decode_json(value, repeated)


def _decode_json(value: str, repeated: list[str]) -> Any:
    """Return the content of a JSON text, or the text if it is not JSON.

    Args:
        value: the text.
        repeated: collects the keys that occur more than once in a mapping.
    """

    def build_mapping(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        mapping: dict[str, Any] = {}
        for key, item in pairs:
            if key in mapping:
                repeated.append(key)
            mapping[key] = item
        return mapping

    try:
        return json.loads(value, parse_constant=_reject_constant, object_pairs_hook=build_mapping)
    except (ValueError, RecursionError):
        return value


def _quote_key(key: str) -> str:
    return json.dumps(key if len(key) <= 80 else f"{key[:79]}{ELLIPSIS}")


def _reject_constant(constant: str) -> Never:
    raise ValueError(f"{constant} is not JSON")
