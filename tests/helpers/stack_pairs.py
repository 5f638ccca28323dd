"""Random walks over valid stack files; each step is one `up` from a stack file to the next."""

from __future__ import annotations

import copy
import difflib
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import yaml

from mesh.config import SettingsError, parse

Config = dict[str, Any]

SAMPLES = ("helloworld", "podinfo", "emojivoto", "booksapp")
# Chance that a part of the stack file stays as it is.
_KEEP = 0.6
_MAX_ATTEMPTS = 500


@dataclass(frozen=True, kw_only=True)
class WalkSettings:
    """Limits of a walk."""

    clusters: Sequence[str]  # at least two of them are in each stack file
    releases: Sequence[str]  # Linkerd releases, oldest first; a walk only upgrades
    environment: Mapping[str, str]  # with a kubeconfig that has the clusters


def draw_walk(numbers: random.Random, settings: WalkSettings, length: int) -> Iterator[Config]:
    """Yield valid configurations, each of which differs from the one before.

    Args:
        numbers: random numbers.
        settings: limits of the walk.
        length: number of configurations.
    """
    config: Config | None = None
    for _ in range(length):
        config = _draw_next(numbers, settings, config)
        yield config


def describe_step(before: Config, after: Config) -> str:
    """Return the difference of two stack files, with the whole first one."""
    old, new = (yaml.safe_dump(config, sort_keys=False).splitlines() for config in (before, after))
    return "\n".join(difflib.unified_diff(old, new, "before", "after", n=1000, lineterm=""))


def _draw_next(numbers: random.Random, settings: WalkSettings, before: Config | None) -> Config:
    for _ in range(_MAX_ATTEMPTS):
        config = _draw_config(numbers, settings, before)
        if config != before and _is_valid(config, settings.environment):
            return config
    raise AssertionError(f"none of {_MAX_ATTEMPTS} stack files was valid")


def _is_valid(config: Config, environment: Mapping[str, str]) -> bool:
    try:
        parse(config, environment)
    except SettingsError:
        return False
    return True


def _draw_config(numbers: random.Random, settings: WalkSettings, before: Config | None) -> Config:
    def draw(key: str, value: Any) -> Any:
        """Return the former value of a key, or the new one."""
        keep = before is not None and key in before and numbers.random() < _KEEP
        return copy.deepcopy(before[key]) if keep and before is not None else value

    clusters = draw("clusters", _draw_clusters(numbers, settings))
    version = draw("linkerd", {"version": numbers.choice(settings.releases)})
    if before is not None:
        version = max(version, before["linkerd"], key=lambda each: settings.releases.index(each["version"]))
    links = draw("links", _draw_links(numbers, list(clusters)))
    former = {name: each for entry in (before or {}).get("workloads", ()) for name, each in entry.items()}
    workloads = []
    for sample in SAMPLES:
        if sample in former and numbers.random() < _KEEP:
            workloads.append({sample: copy.deepcopy(former[sample])})
        elif numbers.random() < 0.75:
            workloads.append({sample: _draw_sample(numbers, sample, list(clusters), links)})
    return {
        "clusters": clusters,
        "links": links,
        "linkerd": version,
        "extensions": draw("extensions", {"smi": numbers.random() < 0.7}),
        "workloads": workloads,
    }


def _draw_clusters(numbers: random.Random, settings: WalkSettings) -> Config:
    names = list(settings.clusters)
    if len(names) > 2 and numbers.random() < 0.4:
        names.remove(numbers.choice(names))
    # All clusters are on one network or on none, because links between networks need a gateway.
    if numbers.random() < 0.6:
        return {name: {} for name in names}
    numbered = {name: number for number, name in enumerate(settings.clusters, 1)}
    return {name: {"networks": {"flat": "lan", "pods": [f"10.{numbered[name]}.0.0/16"]}} for name in names}


def _draw_links(numbers: random.Random, clusters: Sequence[str]) -> list[Config]:
    links = []
    for source in clusters:
        for target in clusters:
            if source != target and numbers.random() < 0.8:
                gateway = numbers.choice((None, True, True, False))
                links.append({"source": source, "target": target, **({} if gateway is None else {"gateway": gateway})})
    return links


def _draw_sample(
    numbers: random.Random, sample: str, clusters: Sequence[str], links: Sequence[Mapping[str, Any]]
) -> Config:
    # Not in `default`, because pods of samples are slow only in their own namespaces.
    config: Config = {"namespace": sample}
    running = [name for name in clusters if numbers.random() < 0.9] or list(clusters)
    if running != list(clusters):
        config["clusters"] = running
    exported = [name for name in running if numbers.random() < 0.6]
    if exported:
        config["exported"] = exported
        if numbers.random() < 0.2:
            config["exportMode"] = numbers.choice(("gateway", "remote-discovery"))
    elif numbers.random() < 0.5:
        config["federated"] = [name for name in running if numbers.random() < 0.8]
    if numbers.random() < 0.1:
        config["meshed"] = False
    if sample in ("helloworld", "podinfo"):
        config |= _draw_routes(numbers, running, exported, links)
    if sample == "helloworld":
        config["versions"] = {name: numbers.choice(("v1", "v2")) for name in running}
        config["sleep"] = [name for name in clusters if numbers.random() < 0.3]
    if sample in ("podinfo", "emojivoto") and numbers.random() < 0.6:
        config["policy"] = numbers.choice(("server-authorization", "authorization-policy"))
        if numbers.random() < 0.5:
            names = numbers.sample(("web", "one", "two"), 2)
            config["policyClients"] = {"identities": [f"{name}.{sample}.example.com" for name in names]}
    if sample in ("podinfo", "booksapp") and numbers.random() < 0.5:
        config["profile"] = {"form": numbers.choice(("service-profile", "gateway-api"))}
    if sample == "booksapp" and numbers.random() < 0.3:
        config["faultInjection"] = {"percent": numbers.choice((10, 50))}
    if sample in ("booksapp", "emojivoto") and exported and numbers.random() < 0.5:
        services = {"booksapp": ("webapp", "authors", "books"), "emojivoto": ("web-svc", "emoji-svc", "voting-svc")}
        config["exportedServices"] = numbers.sample(services[sample], numbers.choice((1, 2)))
    return config


def _draw_routes(
    numbers: random.Random, running: Sequence[str], exported: Sequence[str], links: Sequence[Mapping[str, Any]]
) -> Config:
    splits, failover = [], []
    for cluster in running:
        mirrored = [link["target"] for link in links if link["source"] == cluster and link["target"] in exported]
        if mirrored and numbers.random() < 0.6:
            backends = numbers.sample(mirrored, numbers.randint(1, len(mirrored)))
            if numbers.random() < 0.7:
                names = [cluster, *backends] if numbers.random() < 0.8 else backends
                split = {"cluster": cluster, "weights": {name: numbers.choice((0, 1, 9)) for name in names}}
                form = numbers.choice((None, "smi", "gateway-api"))
                splits.append({**split, **({} if form is None else {"form": form})})
            else:
                failover.append({"cluster": cluster, "backups": backends})
    return {**({"splits": splits} if splits else {}), **({"failover": failover} if failover else {})}
