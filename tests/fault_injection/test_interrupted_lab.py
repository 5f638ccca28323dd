"""`up` and `destroy` that are struck at random moments: the same command once more ends it all."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import psutil
import pytest

from hack.lab.state_dir import StateDir
from tests.helpers import fault_proxy, options, unreachable_webhook
from tests.helpers.baseline import Baseline, assert_destroyed, assert_matches_baseline, measure_baseline
from tests.helpers.fault_injection import DisturbedRun, run_disturbed
from tests.helpers.fault_plan import PlannedFault, WebhookFault, draw_faults
from tests.helpers.fault_proxy import FaultProxy
from tests.helpers.lab_stack import LabStack
from tests.helpers.options import FaultOptions
from tests.helpers.stack_configs import full_mesh_config
from tests.helpers.update_progress import Moment

# A command that is struck has a limit of its own (`disturbed`); an attempt may be the third.
pytestmark = [pytest.mark.lab(minutes=2.5), pytest.mark.timeout(3600)]

# Near its end, a run may be over before it is struck; it is struck that much earlier then.
_ATTEMPTS, _EARLIER_FACTOR = 3, 0.6


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Both tests one after the other, for each pair of strikes: what the first makes the second takes away."""
    if "strikes" in metafunc.fixturenames:
        faults = options.read_options(metafunc.config)
        pairs = list(zip(*(draw_faults(faults, what, faults.names) for what in ("up", "destroy")), strict=True))
        names = [f"{number}:{up},{destroy}" for number, (up, destroy) in enumerate(pairs, 1)]
        metafunc.parametrize("strikes", pairs, ids=names, scope="module")


@dataclass(kw_only=True)
class FaultedMesh:
    """A mesh of all clusters, what it is after an undisturbed run, and ways to its API servers."""

    deployment: LabStack
    reference: Baseline
    proxies: dict[str, FaultProxy]
    kubeconfig: Path  # that leads through them

    def struck(self, command: Callable[[], list[str]], strike: PlannedFault, moment: Moment) -> DisturbedRun:
        """Run a Pulumi command with a fault in it."""
        deployment = self.deployment
        with deployment.output.open("a") as log:
            log.write(f"\n{strike} of pulumi {command()[0]}: {moment}\n")
        act = partial(
            strike.disturb, lab=deployment.lab, context=deployment.contexts[strike.cluster], proxies=self.proxies
        )
        through = isinstance(strike.fault, fault_proxy.RequestFault)
        run = run_disturbed(
            deployment,
            command(),
            by=act,
            at=moment,
            kubeconfig=self.kubeconfig if through else None,
        )
        if not strike.is_kill and run.code:
            said = run.printed.partition("Diagnostics:")[2]
            assert strike.cluster in said, "the message says which cluster"
            assert unreachable_webhook.WEBHOOK_NAME in said or not isinstance(strike.fault, WebhookFault), (
                "and which webhook"
            )
        return run


@pytest.fixture(scope="module")
def mesh(lab: StateDir, faults: FaultOptions, tmp_path_factory: pytest.TempPathFactory) -> Iterator[FaultedMesh]:
    """A mesh that isn't up."""
    servers = {name: lab.read_status()["clusters"][name]["apiServer"] for name in faults.names}
    # Peers go straight to the API servers.
    config = full_mesh_config(**{name: {"apiServer": server} for name, server in servers.items()})
    folder = tmp_path_factory.mktemp("interrupted")
    deployment = LabStack(lab, folder, "interrupted", config)
    reference = measure_baseline(deployment)
    with ExitStack() as stack:
        made = {name: FaultProxy(lab, name, faults.random(f"proxy {name}")) for name in faults.names}
        proxies = {name: stack.enter_context(found.serving()) for name, found in made.items()}
        kubeconfig = folder / "kubeconfig"
        fault_proxy.write_kubeconfig(lab, proxies, kubeconfig)
        yield FaultedMesh(deployment=deployment, reference=reference, proxies=proxies, kubeconfig=kubeconfig)
    if deployment.has_resources:
        deployment.destroy()


def test_next_up_recovers_from_disturbed_up(mesh: FaultedMesh, strikes: tuple[PlannedFault, PlannedFault]) -> None:
    deployment = mesh.deployment
    for tried in range(_ATTEMPTS):
        if deployment.has_resources:
            deployment.destroy()
        with deployment.engine() as engine:
            moment = mesh.reference.up.moment(strikes[0].moment * _EARLIER_FACTOR**tried)
            run = mesh.struck(engine.up_command, strikes[0], moment)
        if run.disturbed:
            break
    assert run.disturbed

    deployment.up()

    assert_matches_baseline(deployment, mesh.reference)


def test_next_destroy_completes_disturbed_destroy(
    mesh: FaultedMesh, strikes: tuple[PlannedFault, PlannedFault]
) -> None:
    deployment = mesh.deployment
    for tried in range(_ATTEMPTS):
        if not deployment.has_resources:
            deployment.up()
        with deployment.engine() as engine:
            moment = mesh.reference.destroy.moment(strikes[1].moment * _EARLIER_FACTOR**tried)
            run = mesh.struck(engine.destroy_command, strikes[1], moment)
        if run.disturbed:
            break
    assert run.disturbed

    deployment.destroy()

    assert_destroyed(deployment)


@pytest.mark.usefixtures("at_length")
def test_up_restores_mesh_after_disturbed_destroy(mesh: FaultedMesh, faults: FaultOptions) -> None:
    deployment = mesh.deployment
    strike, *_ = draw_faults(faults, "destroy and up", faults.names)
    deployment.up()
    with deployment.engine() as engine:
        run = mesh.struck(
            engine.destroy_command, strike, mesh.reference.destroy.moment(strike.moment * _EARLIER_FACTOR)
        )
    assert run.disturbed

    deployment.up()

    assert_matches_baseline(deployment, mesh.reference)


def test_concurrent_up_is_refused_while_first_continues(mesh: FaultedMesh) -> None:
    deployment = mesh.deployment
    if deployment.has_resources:  # of an earlier failure
        deployment.destroy()
    printed: list[str] = []

    @contextmanager
    def beside_another(_: psutil.Process) -> Iterator[None]:
        printed.append(deployment.up_expecting_failure())
        yield

    with deployment.engine() as engine:
        run = run_disturbed(deployment, engine.up_command(), by=beside_another, at=mesh.reference.up.moment(0.1))

    assert run.disturbed
    assert "the stack is currently locked by 1 lock(s)" in printed[0]
    assert run.code == 0
    assert_matches_baseline(deployment, mesh.reference)
