"""A two-way mesh of two clusters, from nothing to passing checks and back to nothing: ours and the other ways."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Sequence

from benchmarks import leftovers, objects, readiness, stacks
from benchmarks.contenders.contender import Contender
from benchmarks.contenders.pulumi_program import STATE_ONCE, Ours
from benchmarks.contenders.raw_apply import Floor
from benchmarks.contenders.script import CLI, GUIDES, HELMFILE, Script
from benchmarks.environment import Environment
from benchmarks.readiness import ExpectedMesh
from benchmarks.results import Comparison, Section, Series
from benchmarks.timeline import ENGINE, PROGRAM, Timeline
from hack.make.check import Checker
from hack.make.stack import PROJECT, LabStack

# About how long one round takes on two cores.
SECONDS = 320
_READY_WITHIN, _GONE_WITHIN = 120.0, 90.0

_ONCE = "ours, state written once"
_GUIDES, _GUIDES_AT_ONCE = "guides", "guides, clusters side by side"
_HELMFILE = "helmfile"
_CLI, _CLI_AT_ONCE = "linkerd CLI", "linkerd CLI, clusters side by side"

_UP = """
From two empty clusters to a two-way mesh with podinfo exported by both, as `Pulumi.dev.yaml` has it. Every way ends
when its commands have ended and the same look finds the mesh there: every Deployment available, every mirror of
podinfo with endpoints, every link's gateway alive by its probe. `up to its end` is the time of the commands alone; a
gateway is alive three seconds after its mirror began, which is Linkerd's first probe, and every way has to wait for
it. Linkerd's own checks take several seconds per cluster, so they are run once for each way, off the clock; all rows
of `make check` passed for each.

- **ours, state written once**: the same with the variables that have Pulumi write its state when it ends, rather than
  before and after each step ([docs/large-meshes.md](../docs/large-meshes.md)). The goals are about the default.
- **guides**: `helm install --wait` of linkerd-crds, linkerd-control-plane and linkerd-multicluster on one cluster
  after the other, `linkerd multicluster link | kubectl apply` for each direction, podinfo by kubectl, as Linkerd's
  guides print it; certificates by openssl, where they take step.
- **linkerd CLI**: `linkerd install`, `linkerd multicluster install` and `link`, each into `kubectl apply`.
- **side by side**: the same commands by a careful engineer, who does both clusters at once. The guides don't.
- **helmfile**: `helmfile sync` of the same releases on both clusters, as far at once as they need each other; links
  and podinfo like the guides.
- **floor**: the very objects that ours has made, credentials included, applied by one client with eight requests under
  way per cluster, and nothing else: no chart is rendered, no key is made, nothing is remembered.
"""
_DOWN = """
From that mesh to clusters that have what they had before it, and nothing else: every object of every kind is compared
by name, and the clock stops when nothing is left. The other ways remove what theirs have made: unlink, uninstall, and
the namespaces, which Helm leaves.
"""
_NOT_HAD = (
    "OpenTofu and Terraform are not compared: of their providers only helm 1.3.2 and kubernetes 1.13.4 are to be had "
    "as Go modules, both of 2020; they build only with replacements of what they need, and were not tried on today's "
    "Kubernetes. helmfile stands for the tools that are told what there shall be.",
)


def figure(ground: Environment, rounds: int, date: str, machine: str) -> dict[str, Section]:
    """Both sections."""
    config = stacks.two_way()
    chosen = stacks.read(ground, "mesh", config)
    wanted = stacks.wanted(chosen)
    clusters = [cluster.context for cluster in chosen.clusters]
    empty = leftovers.names(ground, clusters)
    ours = Ours(ground, chosen)
    ground.say("ours, once, to see what it makes and to profile it")
    profile_up, profile_down, made = _first(ground, ours, chosen, wanted)
    leftovers.wait_until_none(ground, empty, _GONE_WITHIN)
    ways = [ours, Ours(ground, chosen, _ONCE, environment=STATE_ONCE), *_others(ground, made)]
    _check(ground, ways, chosen, wanted, empty)
    seconds: dict[str, list[float]] = defaultdict(list)
    for number in range(1, rounds + 1):
        for way in ways:
            for what, value in _round(ground, way, wanted, empty).items():
                seconds[what].append(value)
            shown = f"{seconds[f'{way.name}: up'][-1]:.1f} s up, {seconds[f'{way.name}: down'][-1]:.1f} s down"
            ground.say(f"round {number} of {rounds}: {way.name}: {shown}")
    series = [Series(name=name, unit="s", values=tuple(values)) for name, values in seconds.items()]
    return {
        "mesh": Section(
            title="Two-cluster two-way mesh",
            date=date,
            machine=machine,
            rounds=rounds,
            text=_UP,
            series=_of(series, "up", "up to its end"),
            comparisons=(
                *_against("up", _GUIDES, 0.5),
                *_against("up", _CLI, 0.8),
                *_against("up", "floor", 2.0),
                *_against("up", _GUIDES_AT_ONCE),
                *_against("up", _CLI_AT_ONCE),
                *_against("up", _HELMFILE),
                *_against("up", _GUIDES, ours=_ONCE),
                *_against("up", _CLI, ours=_ONCE),
                *_against("up", "floor", ours=_ONCE),
                *_against("up to its end", _GUIDES),
                *_against("up to its end", _CLI),
                *_against("up to its end", "floor"),
            ),
            profile=profile_up,
            notes=_NOT_HAD,
        ),
        "destroy": Section(
            title="Destroy",
            date=date,
            machine=machine,
            rounds=rounds,
            text=_DOWN,
            series=_of(series, "down"),
            comparisons=(
                *_against("down", _GUIDES, 0.4),
                *_against("down", _GUIDES_AT_ONCE),
                *_against("down", _CLI),
                *_against("down", _CLI_AT_ONCE),
                *_against("down", _HELMFILE),
                *_against("down", "floor"),
                *_against("down", _GUIDES, ours=_ONCE),
            ),
            profile=profile_down,
        ),
    }


def _first(
    ground: Environment, ours: Ours, chosen: LabStack, wanted: ExpectedMesh
) -> tuple[str, str, dict[str, list[dict[str, object]]]]:
    """Profiles of both directions, and what is made, by cluster."""
    up = Timeline(ground.work / "up.events")
    up.begin()
    ours.up_with(*up.options, meanwhile=up.look)
    up.look()
    readiness.wait(ground, wanted, _READY_WITHIN)
    manager = f"{PROJECT}-{chosen.name}"
    made = {cluster.context: objects.made(ground, cluster.context, manager) for cluster in chosen.clusters}
    leftovers.warm(ground, made)
    down = Timeline(ground.work / "down.events")
    down.begin()
    ours.down_with(*down.options, meanwhile=down.look)
    down.look()
    return up.markdown("up", before=PROGRAM), down.markdown("destroy", before=ENGINE), made


def _others(ground: Environment, made: dict[str, list[dict[str, object]]]) -> list[Contender]:
    namespace = stacks.NAMESPACE
    podinfo = {cluster: objects.in_namespace(found, namespace) for cluster, found in made.items()}
    scripts = [
        Script(ground, script, podinfo, namespace, side_by_side=at_once, name=name)
        for name, script, at_once in (
            (_GUIDES, GUIDES, False),
            (_CLI, CLI, False),
            (_GUIDES_AT_ONCE, GUIDES, True),
            (_CLI_AT_ONCE, CLI, True),
            (_HELMFILE, HELMFILE, True),
        )
    ]
    return [*scripts, Floor(ground, made)]


def _check(
    ground: Environment,
    ways: Sequence[Contender],
    chosen: LabStack,
    wanted: ExpectedMesh,
    empty: dict[str, frozenset[str]],
) -> None:
    """Each way once, to see by Linkerd's own checks that what it makes is right, and that it leaves nothing."""
    for way in ways:
        ground.say(f"{way.name}: Linkerd's own checks, once and off the clock")
        way.up()
        readiness.wait(ground, wanted, _READY_WITHIN)
        way.before_checks()
        failed = [row for row in Checker(chosen, ground.runner.environment).rows() if not row.passed]
        if failed:
            shown = "; ".join(f"{row.subject}: {row.check}: {row.detail}" for row in failed)
            raise readiness.NotReady(f"{way.name}: {shown}")
        leftovers.warm(ground, empty)
        way.down()
        leftovers.wait_until_none(ground, empty, _GONE_WITHIN)


def _round(
    ground: Environment, way: Contender, wanted: ExpectedMesh, empty: dict[str, frozenset[str]]
) -> dict[str, float]:
    began = time.perf_counter()
    way.up()
    ended = time.perf_counter()
    readiness.wait(ground, wanted, _READY_WITHIN)
    there = time.perf_counter()
    leftovers.warm(ground, empty)
    leaving = time.perf_counter()
    way.down()
    leftovers.wait_until_none(ground, empty, _GONE_WITHIN)
    gone = time.perf_counter()
    return {
        f"{way.name}: up": there - began,
        f"{way.name}: up to its end": ended - began,
        f"{way.name}: down": gone - leaving,
    }


def _of(series: Sequence[Series], *ends: str) -> tuple[Series, ...]:
    return tuple(each for end in ends for each in series if each.name.partition(": ")[2] == end)


def _against(what: str, peer: str, at_most: float | None = None, *, ours: str = "ours") -> tuple[Comparison]:
    compared = f"{what}, {ours} : {peer}"
    return (Comparison(what=compared, ours=f"{ours}: {what}", peer=f"{peer}: {what}", at_most=at_most),)
