"""`python -m hack.make up|review|check|verify|down|env [STACK]`: what the Makefile's commands of the same names do."""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any

from hack.lab import lifecycle
from hack.lab.errors import LabError
from hack.lab.spec import LoadBalancerKind
from hack.lab.state_dir import StateDir, locate
from hack.make import environment, signals, stack
from hack.make.check import Checker, CheckFailed, table
from hack.make.pulumi_cli import PulumiFailed, PulumiStack, stacks
from hack.make.verify import Verifier, VerifyFailed
from hack.toolchain import NotInstalled, helm
from hack.toolchain.__main__ import main as build_toolchain
from hack.toolchain.artifacts import ARTIFACTS, CILIUM, HELM


def main(arguments: list[str]) -> int:
    """Run one command; its exit code."""
    commands: Mapping[str, Callable[[StateDir, stack.LabStack], int]] = {
        "up": _up,
        "review": lambda home, chosen: _review(home, chosen, options),
        "check": _check,
        "verify": _verify,
        "down": _down,
        "env": _env,
    }
    parser = argparse.ArgumentParser(prog="python -m hack.make", description=__doc__)
    parser.add_argument("command", choices=commands)
    parser.add_argument("stack", nargs="?", default="dev")
    chosen, options = parser.parse_known_args(arguments)
    if options and chosen.command != "review":
        parser.error(f"unrecognized arguments: {' '.join(options)}")
    signals.restore_sigint_for_children()
    try:
        return commands[chosen.command](locate(), stack.read(chosen.stack))
    except (LabError, NotInstalled, stack.StackFileError, PulumiFailed, CheckFailed, VerifyFailed) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted; the same command goes on from here", file=sys.stderr)
        return 130


def _up(home: StateDir, chosen: stack.LabStack) -> int:
    began = time.monotonic()
    if f"linkerd-{chosen.release}" not in ARTIFACTS:
        # What nobody can build here is missed before anything starts.
        environment.cli(home, chosen.release)
    if not _start(home, chosen):
        return 1
    variables = environment.merged(home, chosen.release)
    engine = PulumiStack(home, chosen, variables)
    engine.initialise()
    meshes = [*([f"Linkerd {chosen.release}"] if chosen.linkerd else []), *(["Cilium"] if chosen.cilium else [])]
    _say(f"\nMesh: pulumi up, stack {chosen.name}, {' and '.join(meshes)}")
    engine.up()
    _say("\nChecks")
    passed = table(Checker(chosen, variables).rows(), _say)
    _say(_summary(chosen, engine, home, time.monotonic() - began, passed))
    return 0 if passed else 1


def _start(home: StateDir, chosen: stack.LabStack) -> bool:
    """Have the lab's clusters of a stack run, and what else Pulumi needs; whether they do."""
    if chosen.own_kubeconfigs:
        # The lab's kubeconfig is all that this command may use.
        raise stack.StackFileError(
            f"{chosen.file.name}: {', '.join(chosen.own_kubeconfigs)} named with a kubeconfig of their own, and "
            f"`make` touches no cluster outside the lab; run `pulumi up -s {chosen.name}`, or "
            f"`python -m review -s {chosen.name}`, for your own clusters"
        )
    # What `make up` has not built yet, since not every stack needs it.
    own = [
        name for name in (f"linkerd-{chosen.release}", *([CILIUM.name] if chosen.cilium else [])) if name in ARTIFACTS
    ]
    if own and build_toolchain(own) != 0:
        return False
    _say(f"Lab: {', '.join(cluster.context for cluster in chosen.reachable)}")
    lifecycle.start(
        home,
        [cluster.context for cluster in chosen.reachable],
        load_balancers={
            cluster.context: LoadBalancerKind.NONE for cluster in chosen.reachable if not cluster.load_balancer
        },
        chart_folders=[],
        timeout=180,
        say=lambda line: _say(f"  {line.strip()}"),
    )
    environment.prepare(home)
    return True


def _review(home: StateDir, chosen: stack.LabStack, options: list[str]) -> int:
    if helm.on_path() is None and build_toolchain([HELM.name]) != 0:
        return 1
    # What is printed is the review itself, for a file or a pager.
    with contextlib.redirect_stdout(sys.stderr):
        if not _start(home, chosen):
            return 1
    engine = PulumiStack(home, chosen, environment.merged(home, environment.with_any_cli(home, chosen.release)))
    engine.initialise()
    return engine.review(*options)


def _check(home: StateDir, chosen: stack.LabStack) -> int:
    return 0 if table(Checker(chosen, environment.merged(home, chosen.release)).rows(), _say) else 1


def _verify(_: StateDir, chosen: stack.LabStack) -> int:
    # The one command that is for clusters of one's own: its environment is the caller's.
    return 0 if table(Verifier(chosen, os.environ).rows(), _say) else 1


def _down(home: StateDir, chosen: stack.LabStack) -> int:
    if not home.folder.is_dir():
        _say("nothing is there to take down")
        return 0
    if not home.is_running() and home.known_clusters():
        # What the stack has made can only be destroyed in clusters that run.
        lifecycle.start(home, [], load_balancers={}, chart_folders=[], timeout=180, say=_say)
    code = 0
    if home.is_running():
        environment.prepare(home)
        engine = PulumiStack(home, chosen, environment.merged(home, environment.with_any_cli(home, chosen.release)))
        try:
            if engine.exists:
                engine.initialise()
                engine.destroy()
        except PulumiFailed as error:
            # The clusters go, and with them all that is in them; but that it took this is a failure.
            print(f"error: {error}; its clusters are removed all the same", file=sys.stderr)
            code = 1
    if others := [name for name in stacks(home) if name != chosen.name]:
        _leave_to_others(home, chosen, others)
        return code
    lifecycle.stop(home, [], delete=True)
    shutil.rmtree(home.folder)
    _say(f"stopped, and {home.folder} removed; the toolchain stays in the cache")
    return code


def _leave_to_others(home: StateDir, chosen: stack.LabStack, others: list[str]) -> None:
    """Stop the clusters of a stack that no other one on the lab has too."""
    needed = {cluster.context for name in others for cluster in stack.read(name).clusters}
    there = set(home.known_clusters()) - needed
    spare = [cluster.context for cluster in chosen.clusters if cluster.context in there]
    # Of no names, all would be stopped.
    stopped = lifecycle.stop(home, spare, delete=True) if spare else []
    _say(f"stopped {', '.join(stopped) or 'no cluster'}; the lab goes on for {', '.join(others)}")


def _env(home: StateDir, chosen: stack.LabStack) -> int:
    variables = environment.variables(home, environment.with_any_cli(home, chosen.release))
    environment.prepare(home)
    print(environment.shell(variables))
    return 0


def _summary(chosen: stack.LabStack, engine: PulumiStack, home: StateDir, seconds: float, passed: bool) -> str:
    outputs = engine.outputs()
    first = (chosen.reachable or chosen.clusters)[0]
    clusters = ", ".join(f"{name} ({_meshes(cluster)})" for name, cluster in outputs["clusters"].items())
    links = "\n".join(
        f"    {name}: {spec if isinstance(spec, str) else _gateway(spec)}" for name, spec in outputs["links"].items()
    )
    option = "" if chosen.name == "dev" else f" STACK={chosen.name}"
    return f"""
{"The mesh is up" if passed else "The mesh is up, but a check has failed"} after {seconds:.0f} s.
  clusters  {clusters}
  links
{links or "    none"}
Look at it:
  eval "$(make -s env{option})"
  pulumi stack output -s {chosen.name}
  kubectl --context {first.context} get services --all-namespaces
  {_next(chosen, first.context, outputs)}
  logs: {home.folder}/clusters/*/logs
Change Pulumi.{chosen.name}.yaml and see what would happen: pulumi preview -s {chosen.name}
Take it down: make down{option}"""


def _meshes(cluster: Mapping[str, Any]) -> str:
    """What joins a cluster to the others, and its release."""
    cilium = [f"Cilium {cluster['charts']['cilium']}, id {cluster['cilium']['id']}"] if "cilium" in cluster else []
    return ", ".join([*([cluster["linkerd"]] if "linkerd" in cluster else []), *cilium])


def _next(chosen: stack.LabStack, context: str, outputs: Mapping[str, Any]) -> str:
    if not chosen.linkerd:
        return f"kubectl --context {context} --namespace kube-system get pods,secrets"
    return f"linkerd --context {context} {'multicluster gateways' if outputs['links'] else 'check'}"


def _gateway(spec: dict[str, str]) -> str:
    # A Link of a later release has no address where it has no gateway, one of an earlier release an empty one.
    address = spec.get("gatewayAddress")
    return f"gateway {address}:{spec['gatewayPort']}" if address else "without a gateway"


def _say(line: str) -> None:
    print(line, flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
