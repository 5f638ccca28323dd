"""Benchmark of a two-cluster two-way mesh: creation and deletion, by this program and by the other contenders."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Sequence

from benchmarks import leftovers, objects, readiness, stacks
from benchmarks.contenders.contender import PROGRAM_NAME, Contender
from benchmarks.contenders.pulumi_program import STATE_ONCE, PulumiProgram
from benchmarks.contenders.raw_apply import RawApply
from benchmarks.contenders.script import CLI, GUIDES, HELMFILE, ShellScript
from benchmarks.environment import Environment
from benchmarks.readiness import ExpectedMesh
from benchmarks.results import Comparison, Section, Series
from benchmarks.timeline import ENGINE, PROGRAM, Timeline
from hack.make.check import Checker
from hack.make.stack import LabStack
from mesh.config import PROJECT

# Approximate duration of one round on two cores.
SECONDS_PER_ROUND = 320
_READY_TIMEOUT_S, _DELETION_TIMEOUT_S = 120.0, 90.0

_PROGRAM_STATE_ONCE = f"{PROGRAM_NAME}, state written once"
_GUIDES, _GUIDES_CONCURRENTLY = "guides", "guides, clusters concurrently"
_HELMFILE = "helmfile"
_CLI, _CLI_CONCURRENTLY = "linkerd CLI", "linkerd CLI, clusters concurrently"

_UP_TEXT = """
From two empty clusters to a two-way mesh as in `Pulumi.dev.yaml`, with podinfo exported by both. The time ends when the
commands have ended and the same readiness check succeeds for every contender: every Deployment is available, every
mirror of podinfo has endpoints, and every link's gateway has answered its probe. `up to its end` is the time of the
commands alone. Linkerd sends the first probe three seconds after the start of a mirror, and every contender waits for
it. Linkerd's own checks take several seconds per cluster, so they run once for each contender, outside the measured
time. All rows of `make check` passed for each contender.

- **this program, state written once**: with variables by which Pulumi writes its state only when it ends, instead of
  before and after each step ([docs/large-meshes.md](../docs/large-meshes.md)). The goals are for the default.
- **guides**: the commands in Linkerd's guides. `helm install --wait` of linkerd-crds, linkerd-control-plane and
  linkerd-multicluster on one cluster after the other, `linkerd multicluster link | kubectl apply` for each direction,
  podinfo by kubectl. The certificates are created by openssl instead of step.
- **linkerd CLI**: `linkerd install`, `linkerd multicluster install` and `link`, each piped into `kubectl apply`.
- **clusters concurrently**: the same commands on both clusters at once, which the guides do not do.
- **helmfile**: `helmfile sync` of the same releases on both clusters, in parallel where dependencies permit. Links and
  podinfo as in the guides.
- **raw apply**: the objects that this program creates, credentials included, applied by one client with eight
  concurrent requests per cluster. The client renders no chart, creates no key and stores no state.
"""
_DOWN_TEXT = """
From that mesh back to the initial clusters: the time ends when the names of all objects of all kinds are the same as
before. The other contenders delete their own objects: unlink, uninstall, and the namespaces, which Helm leaves.
"""
_NOT_COMPARED = (
    "OpenTofu and Terraform are not compared. As Go modules only their providers helm 1.3.2 and kubernetes 1.13.4 are "
    "available, both of 2020. They build only with replaced dependencies, and were not tested on current Kubernetes. "
    "helmfile represents the declarative tools.",
)


def measure(lab: Environment, rounds: int, date: str, machine: str) -> dict[str, Section]:
    """Return the sections `mesh` and `destroy`."""
    config = stacks.dev_config()
    stack = stacks.read_stack(lab, "mesh", config)
    expected = stacks.expected_mesh(stack)
    clusters = [cluster.context for cluster in stack.clusters]
    empty = leftovers.list_names(lab, clusters)
    this_program = PulumiProgram(lab, stack)
    lab.report(f"{PROGRAM_NAME}, once, to profile it and to list its objects")
    profile_up, profile_down, stack_objects = _profile(lab, this_program, stack, expected)
    leftovers.wait_until_none(lab, empty, _DELETION_TIMEOUT_S)
    contenders = [
        this_program,
        PulumiProgram(lab, stack, _PROGRAM_STATE_ONCE, environment=STATE_ONCE),
        *_create_others(lab, stack_objects),
    ]
    _check_contenders(lab, contenders, stack, expected, empty)
    seconds: dict[str, list[float]] = defaultdict(list)
    for number in range(1, rounds + 1):
        for contender in contenders:
            for name, value in _measure_round(lab, contender, expected, empty).items():
                seconds[name].append(value)
            last_times = (
                f"{seconds[f'{contender.name}: up'][-1]:.1f} s up, {seconds[f'{contender.name}: down'][-1]:.1f} s down"
            )
            lab.report(f"round {number} of {rounds}: {contender.name}: {last_times}")
    series = [Series(name=name, unit="s", values=tuple(values)) for name, values in seconds.items()]
    return {
        "mesh": Section(
            title="Two-cluster two-way mesh",
            date=date,
            machine=machine,
            rounds=rounds,
            text=_UP_TEXT,
            series=_select(series, "up", "up to its end"),
            comparisons=(
                *_compare("up", _GUIDES, 0.5),
                *_compare("up", _CLI, 0.8),
                *_compare("up", RawApply.name, 2.0),
                *_compare("up", _GUIDES_CONCURRENTLY),
                *_compare("up", _CLI_CONCURRENTLY),
                *_compare("up", _HELMFILE, 0.75),
                *_compare("up", _GUIDES, program=_PROGRAM_STATE_ONCE),
                *_compare("up", _CLI, program=_PROGRAM_STATE_ONCE),
                *_compare("up", RawApply.name, program=_PROGRAM_STATE_ONCE),
                *_compare("up to its end", _GUIDES),
                *_compare("up to its end", _CLI),
                *_compare("up to its end", RawApply.name),
            ),
            profile=profile_up,
            notes=_NOT_COMPARED,
        ),
        "destroy": Section(
            title="Destroy",
            date=date,
            machine=machine,
            rounds=rounds,
            text=_DOWN_TEXT,
            series=_select(series, "down"),
            comparisons=(
                *_compare("down", _GUIDES, 0.2),
                *_compare("down", _GUIDES_CONCURRENTLY),
                *_compare("down", _CLI),
                *_compare("down", _CLI_CONCURRENTLY),
                *_compare("down", _HELMFILE),
                *_compare("down", RawApply.name, 1.0),
                *_compare("down", _GUIDES, program=_PROGRAM_STATE_ONCE),
            ),
            profile=profile_down,
        ),
    }


def _profile(
    lab: Environment, program: PulumiProgram, stack: LabStack, expected: ExpectedMesh
) -> tuple[str, str, dict[str, list[dict[str, object]]]]:
    """Return the profiles of `up` and `destroy`, and the stack's objects by cluster."""
    up = Timeline(lab.work / "up.events")
    up.begin()
    program.up_with(*up.options, meanwhile=up.read_events)
    up.read_events()
    readiness.wait_until_ready(lab, expected, _READY_TIMEOUT_S)
    manager = f"{PROJECT}-{stack.name}"
    stack_objects = {
        cluster.context: objects.list_stack_objects(lab, cluster.context, manager) for cluster in stack.clusters
    }
    leftovers.warm_storage(lab, stack_objects)
    down = Timeline(lab.work / "down.events")
    down.begin()
    program.down_with(*down.options, meanwhile=down.read_events)
    down.read_events()
    return up.markdown("up", before=PROGRAM), down.markdown("destroy", before=ENGINE), stack_objects


def _create_others(lab: Environment, stack_objects: dict[str, list[dict[str, object]]]) -> list[Contender]:
    namespace = stacks.NAMESPACE
    podinfo = {cluster: objects.select_namespace(each, namespace) for cluster, each in stack_objects.items()}
    scripts = [
        ShellScript(lab, script, podinfo, namespace, concurrently=concurrently, name=name)
        for name, script, concurrently in (
            (_GUIDES, GUIDES, False),
            (_CLI, CLI, False),
            (_GUIDES_CONCURRENTLY, GUIDES, True),
            (_CLI_CONCURRENTLY, CLI, True),
            (_HELMFILE, HELMFILE, True),
        )
    ]
    return [*scripts, RawApply(lab, stack_objects)]


def _check_contenders(
    lab: Environment,
    contenders: Sequence[Contender],
    stack: LabStack,
    expected: ExpectedMesh,
    empty: dict[str, frozenset[str]],
) -> None:
    """Run each contender once, and verify that Linkerd's own checks pass and that nothing is left afterwards."""
    for contender in contenders:
        lab.report(f"{contender.name}: Linkerd's own checks, once, not timed")
        contender.up()
        readiness.wait_until_ready(lab, expected, _READY_TIMEOUT_S)
        contender.before_checks()
        failed = [row for row in Checker(stack, lab.runner.environment).rows() if not row.passed]
        if failed:
            failures = "; ".join(f"{row.subject}: {row.check}: {row.detail}" for row in failed)
            raise readiness.NotReadyError(f"{contender.name}: {failures}")
        leftovers.warm_storage(lab, empty)
        contender.down()
        leftovers.wait_until_none(lab, empty, _DELETION_TIMEOUT_S)


def _measure_round(
    lab: Environment, contender: Contender, expected: ExpectedMesh, empty: dict[str, frozenset[str]]
) -> dict[str, float]:
    began = time.perf_counter()
    contender.up()
    ended = time.perf_counter()
    readiness.wait_until_ready(lab, expected, _READY_TIMEOUT_S)
    ready = time.perf_counter()
    leftovers.warm_storage(lab, empty)
    down_began = time.perf_counter()
    contender.down()
    leftovers.wait_until_none(lab, empty, _DELETION_TIMEOUT_S)
    down_ended = time.perf_counter()
    return {
        f"{contender.name}: up": ready - began,
        f"{contender.name}: up to its end": ended - began,
        f"{contender.name}: down": down_ended - down_began,
    }


def _select(series: Sequence[Series], *ends: str) -> tuple[Series, ...]:
    return tuple(each for end in ends for each in series if each.name.partition(": ")[2] == end)


def _compare(
    quantity: str, peer: str, at_most: float | None = None, *, program: str = PROGRAM_NAME
) -> tuple[Comparison]:
    label = f"{quantity}, {program} : {peer}"
    return (Comparison(what=label, ours=f"{program}: {quantity}", peer=f"{peer}: {quantity}", at_most=at_most),)
