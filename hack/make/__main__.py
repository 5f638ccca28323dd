"""Commands of the Makefile: `python -m hack.make up|review|check|verify|down|env [STACK]`."""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any

from hack.lab import lifecycle, spec
from hack.lab.dataplane import requirements
from hack.lab.errors import LabError
from hack.lab.spec import LoadBalancerKind
from hack.lab.state_dir import StateDir, locate
from hack.make import environment, signals, stack
from hack.make.check import Checker, CheckError, print_table
from hack.make.lab_pulumi_stack import LabPulumiStack, list_lab_stacks
from hack.make.verify import Verifier, VerifyError
from hack.toolchain import NotInstalledError, helm
from hack.toolchain.__main__ import main as build_toolchain
from hack.toolchain.artifacts import ARTIFACTS, CILIUM, HELM, KUBE_PROXY, KUBELET
from mesh.pulumi_cli import PulumiCommandError

_LAB_START_TIMEOUT_S = 180


def main(arguments: list[str]) -> int:
    """Run one command; return its exit code."""
    commands: Mapping[str, Callable[[StateDir, stack.LabStack], int]] = {
        "up": _up,
        "review": lambda state_dir, lab_stack: _review(state_dir, lab_stack, review_options),
        "check": _check,
        "verify": _verify,
        "down": _down,
        "env": _env,
    }
    parser = argparse.ArgumentParser(prog="python -m hack.make", description=__doc__)
    parser.add_argument("command", choices=commands)
    parser.add_argument("stack", nargs="?", default="dev")
    options, review_options = parser.parse_known_args(arguments)
    if review_options and options.command != "review":
        parser.error(f"unrecognized arguments: {' '.join(review_options)}")
    signals.restore_sigint_for_children()
    try:
        return commands[options.command](locate(), stack.read_stack(options.stack))
    except (LabError, NotInstalledError, stack.StackFileError, PulumiCommandError, CheckError, VerifyError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted; run the same command again to continue", file=sys.stderr)
        return 130


def _up(state_dir: StateDir, lab_stack: stack.LabStack) -> int:
    began = time.monotonic()
    if f"linkerd-{lab_stack.linkerd_version}" not in ARTIFACTS:
        # The toolchain cannot build this release: a missing CLI is reported before anything starts.
        environment.find_cli(state_dir, lab_stack.linkerd_version)
    if not _start(state_dir, lab_stack):
        return 1
    variables = environment.build_environment(state_dir, lab_stack.linkerd_version)
    pulumi = LabPulumiStack(state_dir, lab_stack, variables)
    pulumi.initialise()
    meshes = [
        *([f"Linkerd {lab_stack.linkerd_version}"] if lab_stack.has_linkerd else []),
        *(["Cilium"] if lab_stack.has_cilium else []),
    ]
    _print(f"\nMesh: pulumi up, stack {lab_stack.name}, {' and '.join(meshes)}")
    pulumi.up()
    _print("\nChecks")
    passed = print_table(_checker(state_dir, lab_stack, variables).rows(), _print)
    _print(_summary(lab_stack, pulumi, state_dir, time.monotonic() - began, passed))
    return 0 if passed else 1


def _start(state_dir: StateDir, lab_stack: stack.LabStack) -> bool:
    """Start the lab's clusters of a stack, and prepare Pulumi; return whether the toolchain is complete."""
    if lab_stack.own_kubeconfigs:
        # This command uses only the lab's kubeconfig.
        raise stack.StackFileError(
            f"{lab_stack.file.name}: {', '.join(lab_stack.own_kubeconfigs)}: clusters with their own kubeconfig are "
            f"outside the lab, and `make` changes only the lab; run `pulumi up -s {lab_stack.name}` or "
            f"`python -m review -s {lab_stack.name}` for your own clusters"
        )
    _reject_shared_clusters(state_dir, lab_stack)
    # `make up` builds only the artifacts that every stack needs.
    artifacts = [
        name
        for name in (
            f"linkerd-{lab_stack.linkerd_version}",
            *([CILIUM.name] if lab_stack.has_cilium else []),
            *([KUBE_PROXY.name, KUBELET.name] if os.environ.get(requirements.VARIABLE) else []),
        )
        if name in ARTIFACTS
    ]
    if artifacts and build_toolchain(artifacts) != 0:
        return False
    _print(f"Lab: {', '.join(cluster.context for cluster in lab_stack.reachable_clusters)}")
    lifecycle.start(
        state_dir,
        [cluster.context for cluster in lab_stack.reachable_clusters],
        load_balancers={
            cluster.context: LoadBalancerKind.NONE
            for cluster in lab_stack.reachable_clusters
            if not cluster.has_load_balancer
        },
        chart_folders=[],
        timeout=_LAB_START_TIMEOUT_S,
        report=lambda line: _print(f"  {line.strip()}"),
        dataplane_folders=requirements.read_named_folders(),
    )
    environment.create_folders(state_dir)
    return True


def _reject_shared_clusters(state_dir: StateDir, lab_stack: stack.LabStack) -> None:
    """Report a cluster of the lab that another stack uses, before Pulumi reads it.

    Raises:
        LabError: there is such a cluster.
    """
    contexts = {cluster.context for cluster in lab_stack.clusters}
    for name in list_lab_stacks(state_dir):
        if name == lab_stack.name or not stack.stack_file_path(name).exists():
            continue
        shared = sorted(contexts & {cluster.context for cluster in stack.read_stack(name).clusters})
        if shared:
            raise LabError(
                f"{lab_stack.file.name}: {', '.join(shared)}: the lab's stack {name} uses the same clusters; run "
                f"`make down STACK={name}` first, or set LAB_HOME to another folder"
            )


def _review(state_dir: StateDir, lab_stack: stack.LabStack, options: list[str]) -> int:
    if helm.find_on_path() is None and build_toolchain([HELM.name]) != 0:
        return 1
    # Standard output is for the review itself.
    with contextlib.redirect_stdout(sys.stderr):
        if not _start(state_dir, lab_stack):
            return 1
    pulumi = _pulumi_stack(state_dir, lab_stack)
    pulumi.initialise()
    return pulumi.review(*options)


def _check(state_dir: StateDir, lab_stack: stack.LabStack) -> int:
    variables = environment.build_environment(state_dir, lab_stack.linkerd_version)
    return 0 if print_table(_checker(state_dir, lab_stack, variables).rows(), _print) else 1


def _checker(state_dir: StateDir, lab_stack: stack.LabStack, variables: Mapping[str, str]) -> Checker:
    return Checker(lab_stack, variables, has_dataplane=spec.load(state_dir).has_dataplane)


def _verify(state_dir: StateDir, lab_stack: stack.LabStack) -> int:
    # Only this command is for the user's own clusters, so it uses the caller's environment.
    lab_kubeconfig = state_dir.kubeconfig if spec.load(state_dir).has_dataplane else None
    return 0 if print_table(Verifier(lab_stack, os.environ, lab_kubeconfig).rows(), _print) else 1


def _down(state_dir: StateDir, lab_stack: stack.LabStack) -> int:
    if not state_dir.folder.is_dir():
        _print("nothing to destroy: there is no lab")
        return 0
    if not state_dir.is_running() and state_dir.known_clusters():
        # A destroy needs running clusters.
        lifecycle.start(state_dir, [], load_balancers={}, chart_folders=[], timeout=_LAB_START_TIMEOUT_S, report=_print)
    code = 0
    if state_dir.is_running():
        environment.create_folders(state_dir)
        pulumi = _pulumi_stack(state_dir, lab_stack)
        try:
            if pulumi.exists:
                pulumi.initialise()
                pulumi.destroy()
        except PulumiCommandError as error:
            # The clusters are deleted with everything in them, but the failed destroy is still an error.
            print(f"error: {error}; the clusters are deleted anyway", file=sys.stderr)
            code = 1
    if others := [name for name in list_lab_stacks(state_dir) if name != lab_stack.name]:
        _stop_unshared_clusters(state_dir, lab_stack, others)
        return code
    lifecycle.stop(state_dir, [], delete=True)
    shutil.rmtree(state_dir.folder)
    _print(f"stopped the lab and deleted {state_dir.folder}; the toolchain stays in the cache")
    return code


def _stop_unshared_clusters(state_dir: StateDir, lab_stack: stack.LabStack, others: list[str]) -> None:
    """Stop and delete the clusters of a stack that the other stacks on the lab do not use."""
    shared = {cluster.context for name in others for cluster in stack.read_stack(name).clusters}
    existing = set(state_dir.known_clusters())
    unshared = [cluster.context for cluster in lab_stack.clusters if cluster.context in existing - shared]
    # Without names, `stop` would stop all clusters.
    stopped = lifecycle.stop(state_dir, unshared, delete=True) if unshared else []
    _print(f"stopped {', '.join(stopped) or 'no cluster'}; the lab keeps running for {', '.join(others)}")


def _env(state_dir: StateDir, lab_stack: stack.LabStack) -> int:
    version = environment.version_with_cli(state_dir, lab_stack.linkerd_version)
    # With PULUMI_STACK, Pulumi needs no `--stack`.
    variables = {**environment.shell_variables(state_dir, version), "PULUMI_STACK": lab_stack.name}
    environment.create_folders(state_dir)
    print(environment.format_exports(variables))
    return 0


def _pulumi_stack(state_dir: StateDir, lab_stack: stack.LabStack) -> LabPulumiStack:
    version = environment.version_with_cli(state_dir, lab_stack.linkerd_version)
    return LabPulumiStack(state_dir, lab_stack, environment.build_environment(state_dir, version))


def _summary(
    lab_stack: stack.LabStack, pulumi: LabPulumiStack, state_dir: StateDir, seconds: float, passed: bool
) -> str:
    outputs = pulumi.outputs()
    first = (lab_stack.reachable_clusters or lab_stack.clusters)[0]
    clusters = ", ".join(f"{name} ({_describe_meshes(cluster)})" for name, cluster in outputs["clusters"].items())
    links = "\n".join(
        f"    {name}: {spec if isinstance(spec, str) else _describe_gateway(spec)}"
        for name, spec in outputs["links"].items()
    )
    option = "" if lab_stack.name == "dev" else f" STACK={lab_stack.name}"
    return f"""
{"The mesh is up" if passed else "The mesh is up, but a check has failed"} after {seconds:.0f} s.
  clusters  {clusters}
  links
{links or "    none"}
Inspect it:
  eval "$(make -s env{option})"
  pulumi stack output -s {lab_stack.name}
  kubectl --context {first.context} get services --all-namespaces
  {_next_command(lab_stack, first.context, outputs)}
  logs: {state_dir.folder}/clusters/*/logs
Change it: edit Pulumi.{lab_stack.name}.yaml; preview: pulumi preview -s {lab_stack.name}; apply: make up{option}
Delete it: make down{option}"""


def _describe_meshes(cluster: Mapping[str, Any]) -> str:
    """Return the Linkerd release and the Cilium version of a cluster."""
    cilium = [f"Cilium {cluster['charts']['cilium']}, id {cluster['cilium']['id']}"] if "cilium" in cluster else []
    return ", ".join([*([cluster["linkerd"]] if "linkerd" in cluster else []), *cilium])


def _next_command(lab_stack: stack.LabStack, context: str, outputs: Mapping[str, Any]) -> str:
    if not lab_stack.has_linkerd:
        return f"kubectl --context {context} --namespace kube-system get pods,secrets"
    return f"linkerd --context {context} {'multicluster gateways' if outputs['links'] else 'check'}"


def _describe_gateway(spec: dict[str, str]) -> str:
    # Without a gateway, a Link of a later release has no address, and one of an earlier release has an empty one.
    address = spec.get("gatewayAddress")
    return f"gateway {address}:{spec['gatewayPort']}" if address else "without a gateway"


def _print(line: str) -> None:
    print(line, flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
