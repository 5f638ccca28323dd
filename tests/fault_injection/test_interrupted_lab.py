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
from tests.helpers import options, proxy, webhook
from tests.helpers.baseline import Reference, assert_is_gone, assert_is_whole, measure
from tests.helpers.fault_injection import Run, disturbed
from tests.helpers.fault_plan import Strike, Webhook, drawn
from tests.helpers.lab_stack import Deployment
from tests.helpers.lab_stacks import full_mesh
from tests.helpers.options import Faults
from tests.helpers.proxy import Proxy
from tests.helpers.update_progress import Moment

# A command that is struck has a limit of its own (`disturbed`); an attempt may be the third.
pytestmark = [pytest.mark.lab(minutes=2.5), pytest.mark.timeout(3600)]

# Near its end, a run may be over before it is struck; it is struck that much earlier then.
_TRIES, _EARLIER = 3, 0.6


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Both tests one after the other, for each pair of strikes: what the first makes the second takes away."""
    if "strikes" in metafunc.fixturenames:
        faults = options.chosen(metafunc.config)
        pairs = list(zip(*(drawn(faults, what, faults.names) for what in ("up", "destroy")), strict=True))
        names = [f"{number}:{up},{destroy}" for number, (up, destroy) in enumerate(pairs, 1)]
        metafunc.parametrize("strikes", pairs, ids=names, scope="module")


@dataclass(kw_only=True)
class Mesh:
    """A mesh of all clusters, what it is after an undisturbed run, and ways to its API servers."""

    deployment: Deployment
    reference: Reference
    proxies: dict[str, Proxy]
    kubeconfig: Path  # that leads through them

    def struck(self, command: Callable[[], list[str]], strike: Strike, moment: Moment) -> Run:
        """Run a Pulumi command with a fault in it."""
        deployment = self.deployment
        with deployment.output.open("a") as log:
            log.write(f"\n{strike} of pulumi {command()[0]}: {moment}\n")
        act = partial(
            strike.disturb, lab=deployment.lab, context=deployment.contexts[strike.cluster], proxies=self.proxies
        )
        through = isinstance(strike.fault, proxy.Trouble)
        run = disturbed(
            deployment,
            command(),
            by=act,
            at=moment,
            kubeconfig=self.kubeconfig if through else None,
        )
        if not strike.is_kill and run.code:
            said = run.printed.partition("Diagnostics:")[2]
            assert strike.cluster in said, "the message says which cluster"
            assert webhook.NAME in said or not isinstance(strike.fault, Webhook), "and which webhook"
        return run


@pytest.fixture(scope="module")
def mesh(lab: StateDir, faults: Faults, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mesh]:
    """A mesh that isn't up."""
    servers = {name: lab.read_status()["clusters"][name]["apiServer"] for name in faults.names}
    # Peers go straight to the API servers.
    config = full_mesh(**{name: {"apiServer": server} for name, server in servers.items()})
    folder = tmp_path_factory.mktemp("interrupted")
    deployment = Deployment(lab, folder, "interrupted", config)
    reference = measure(deployment)
    with ExitStack() as stack:
        made = {name: Proxy(lab, name, faults.random(f"proxy {name}")) for name in faults.names}
        proxies = {name: stack.enter_context(found.serving()) for name, found in made.items()}
        kubeconfig = folder / "kubeconfig"
        proxy.kubeconfig(lab, proxies, kubeconfig)
        yield Mesh(deployment=deployment, reference=reference, proxies=proxies, kubeconfig=kubeconfig)
    if deployment.has_resources:
        deployment.destroy()


def test_an_up_that_was_struck_is_caught_up_by_the_next(mesh: Mesh, strikes: tuple[Strike, Strike]) -> None:
    deployment = mesh.deployment
    for tried in range(_TRIES):
        if deployment.has_resources:
            deployment.destroy()
        with deployment.engine() as engine:
            moment = mesh.reference.up.moment(strikes[0].moment * _EARLIER**tried)
            run = mesh.struck(engine.up_command, strikes[0], moment)
        if run.disturbed:
            break
    assert run.disturbed

    deployment.up()

    assert_is_whole(deployment, mesh.reference)


def test_a_destroy_that_was_struck_is_ended_by_the_next(mesh: Mesh, strikes: tuple[Strike, Strike]) -> None:
    deployment = mesh.deployment
    for tried in range(_TRIES):
        if not deployment.has_resources:
            deployment.up()
        with deployment.engine() as engine:
            moment = mesh.reference.destroy.moment(strikes[1].moment * _EARLIER**tried)
            run = mesh.struck(engine.destroy_command, strikes[1], moment)
        if run.disturbed:
            break
    assert run.disturbed

    deployment.destroy()

    assert_is_gone(deployment)


@pytest.mark.usefixtures("at_length")
def test_an_up_brings_back_what_a_destroy_that_was_struck_has_taken_away(mesh: Mesh, faults: Faults) -> None:
    deployment = mesh.deployment
    strike, *_ = drawn(faults, "destroy and up", faults.names)
    deployment.up()
    with deployment.engine() as engine:
        run = mesh.struck(engine.destroy_command, strike, mesh.reference.destroy.moment(strike.moment * _EARLIER))
    assert run.disturbed

    deployment.up()

    assert_is_whole(deployment, mesh.reference)


def test_of_two_ups_at_once_one_is_told_so_and_the_other_goes_on(mesh: Mesh) -> None:
    deployment = mesh.deployment
    if deployment.has_resources:  # of an earlier failure
        deployment.destroy()
    printed: list[str] = []

    @contextmanager
    def beside_another(_: psutil.Process) -> Iterator[None]:
        printed.append(deployment.failing_up())
        yield

    with deployment.engine() as engine:
        run = disturbed(deployment, engine.up_command(), by=beside_another, at=mesh.reference.up.moment(0.1))

    assert run.disturbed
    assert "the stack is currently locked by 1 lock(s)" in printed[0]
    assert run.code == 0
    assert_is_whole(deployment, mesh.reference)
