"""`up` and `destroy` with faults at random moments: repeating the command completes it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest

from hack.lab.state_dir import StateDir
from tests.helpers import fault_proxy, options, unreachable_webhook
from tests.helpers.baseline import Baseline, assert_destroyed, assert_matches_baseline, measure_baseline
from tests.helpers.fault_injection import FaultedRun, run_with_fault
from tests.helpers.fault_plan import PlannedFault, WebhookFault, draw_faults
from tests.helpers.fault_proxy import FaultProxy
from tests.helpers.options import FaultOptions
from tests.helpers.stack_configs import full_mesh_config
from tests.helpers.stack_under_test import StackUnderTest
from tests.helpers.update_progress import Moment

# A command with a fault has its own timeout (`run_with_fault`), and there can be three attempts.
pytestmark = [pytest.mark.lab(minutes=3), pytest.mark.timeout(3600)]

# A run can end before a late fault; the next attempt injects the fault earlier by this factor.
_ATTEMPTS, _EARLIER_FACTOR = 3, 0.6


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run both tests for each pair of faults: the second destroys the mesh of the first."""
    if "planned_faults" in metafunc.fixturenames:
        faults = options.read_options(metafunc.config)
        fault_pairs = list(
            zip(*(draw_faults(faults, command, faults.cluster_names) for command in ("up", "destroy")), strict=True)
        )
        ids = [f"{number}:{up},{destroy}" for number, (up, destroy) in enumerate(fault_pairs, 1)]
        metafunc.parametrize("planned_faults", fault_pairs, ids=ids, scope="module")


@dataclass(kw_only=True)
class FaultedMesh:
    """A mesh of all clusters, its baseline and the proxies of its API servers."""

    lab_stack: StackUnderTest
    baseline: Baseline
    proxies: dict[str, FaultProxy]
    kubeconfig: Path  # with the URLs of the proxies

    def run_with_fault(
        self, command: Callable[[], list[str]], planned_fault: PlannedFault, moment: Moment
    ) -> FaultedRun:
        """Run a Pulumi command with a fault."""
        lab_stack = self.lab_stack
        with lab_stack.output.open("a") as log:
            log.write(f"\n{planned_fault} of pulumi {command()[0]}: {moment}\n")
        fault = partial(
            planned_fault.inject,
            lab=lab_stack.lab,
            context=lab_stack.contexts[planned_fault.cluster],
            proxies=self.proxies,
        )
        uses_proxy = isinstance(planned_fault.fault, fault_proxy.RequestFault)
        run = run_with_fault(
            lab_stack,
            command(),
            fault=fault,
            moment=moment,
            kubeconfig=self.kubeconfig if uses_proxy else None,
        )
        if not planned_fault.is_kill and run.exit_code:
            diagnostics = run.output.partition("Diagnostics:")[2]
            assert planned_fault.cluster in diagnostics, "the message does not name the cluster"
            assert unreachable_webhook.WEBHOOK_NAME in diagnostics or not isinstance(
                planned_fault.fault, WebhookFault
            ), "the message does not name the webhook"
        return run


@pytest.fixture(scope="module")
def mesh(lab: StateDir, faults: FaultOptions, tmp_path_factory: pytest.TempPathFactory) -> Iterator[FaultedMesh]:
    """Yield a mesh before its deployment."""
    servers = {name: lab.read_status()["clusters"][name]["apiServer"] for name in faults.cluster_names}
    # Peers bypass the proxies.
    config = full_mesh_config(**{name: {"apiServer": server} for name, server in servers.items()})
    folder = tmp_path_factory.mktemp("interrupted")
    lab_stack = StackUnderTest(lab, folder, "interrupted", config)
    baseline = measure_baseline(lab_stack)
    with ExitStack() as stack:
        fault_proxies = {name: FaultProxy(lab, name, faults.random(f"proxy {name}")) for name in faults.cluster_names}
        proxies = {name: stack.enter_context(server.serve()) for name, server in fault_proxies.items()}
        kubeconfig = folder / "kubeconfig"
        fault_proxy.write_kubeconfig(lab, proxies, kubeconfig)
        yield FaultedMesh(lab_stack=lab_stack, baseline=baseline, proxies=proxies, kubeconfig=kubeconfig)
    if lab_stack.has_resources:
        lab_stack.destroy()


def test_next_up_recovers_from_faulted_up(mesh: FaultedMesh, planned_faults: tuple[PlannedFault, PlannedFault]) -> None:
    lab_stack = mesh.lab_stack
    for attempt in range(_ATTEMPTS):
        if lab_stack.has_resources:
            lab_stack.destroy()
        with lab_stack.engine() as engine:
            moment = mesh.baseline.up.moment_at(planned_faults[0].moment * _EARLIER_FACTOR**attempt)
            run = mesh.run_with_fault(engine.up_command, planned_faults[0], moment)
        if run.was_fault_injected:
            break
    assert run.was_fault_injected

    lab_stack.up()

    assert_matches_baseline(lab_stack, mesh.baseline)


def test_next_destroy_completes_faulted_destroy(
    mesh: FaultedMesh, planned_faults: tuple[PlannedFault, PlannedFault]
) -> None:
    lab_stack = mesh.lab_stack
    for attempt in range(_ATTEMPTS):
        if not lab_stack.has_resources:
            lab_stack.up()
        with lab_stack.engine() as engine:
            moment = mesh.baseline.destroy.moment_at(planned_faults[1].moment * _EARLIER_FACTOR**attempt)
            run = mesh.run_with_fault(engine.destroy_command, planned_faults[1], moment)
        if run.was_fault_injected:
            break
    assert run.was_fault_injected

    lab_stack.destroy()

    assert_destroyed(lab_stack)


@pytest.mark.usefixtures("at_length")
def test_up_restores_mesh_after_faulted_destroy(mesh: FaultedMesh, faults: FaultOptions) -> None:
    lab_stack = mesh.lab_stack
    planned_fault, *_ = draw_faults(faults, "destroy and up", faults.cluster_names)
    lab_stack.up()
    with lab_stack.engine() as engine:
        run = mesh.run_with_fault(
            engine.destroy_command,
            planned_fault,
            mesh.baseline.destroy.moment_at(planned_fault.moment * _EARLIER_FACTOR),
        )
    assert run.was_fault_injected

    lab_stack.up()

    assert_matches_baseline(lab_stack, mesh.baseline)
