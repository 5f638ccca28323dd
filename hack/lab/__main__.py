"""Commands of the lab: start, stop, status, kubeconfig."""

import argparse
import json
import os
import signal
import sys
import types
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

from hack.lab import lifecycle, spec
from hack.lab.dataplane import requirements
from hack.lab.dataplane.state import container_command_prefix
from hack.lab.errors import LabError
from hack.lab.state_dir import StateDir, locate


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; return its exit code."""
    options = _parser().parse_args(arguments)
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        code: int = options.run(locate(), options)
        return code
    except LabError as error:
        print(f"lab: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        sys.stderr.close()
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m hack.lab",
        description="Local Kubernetes clusters to try and test the mesh.",
        epilog="The lab's folder is .lab in the project, or $LAB_HOME.",
    )
    verbs = parser.add_subparsers(required=True, metavar="COMMAND")

    start = verbs.add_parser("start", help="start clusters, in addition to the running ones")
    start.add_argument("names", nargs="*", metavar="NAME", help="a cluster; without names, all that ran before")
    start.add_argument(
        "--load-balancer",
        action="append",
        default=[],
        metavar="NAME=KIND",
        help="address of LoadBalancer Services: ip (default), hostname or none; repeatable",
    )
    start.add_argument(
        "--chart-folder",
        action="append",
        default=[],
        type=Path,
        metavar="DIR",
        help="serve the chart archives (*.tgz) in this folder instead of the toolchain's; repeatable",
    )
    start.add_argument(
        "--flat", action="store_true", help="with LAB_DATAPLANE: let pods reach the pods of other clusters"
    )
    start.add_argument(
        "--image-delay",
        type=float,
        default=0,
        metavar="SECONDS",
        help="with LAB_DATAPLANE: start containers this much later, as if their images were pulled (0)",
    )
    start.add_argument(
        "--timeout", type=float, default=180, metavar="SECONDS", help="time until all clusters are ready (180)"
    )
    start.set_defaults(run=_start)

    stop = verbs.add_parser("stop", help="stop clusters and keep their data for the next start")
    stop.add_argument("names", nargs="*", metavar="NAME", help="a cluster; without names, all")
    stop.add_argument("--delete", action="store_true", help="delete their data too")
    stop.set_defaults(run=_stop)

    status = verbs.add_parser("status", help="show clusters and processes; exit code 0 if all clusters are ready")
    status.add_argument("--json", action="store_true", help="print the whole status as JSON")
    status.set_defaults(run=_status)

    execute = verbs.add_parser("exec", help="with LAB_DATAPLANE: run a command in a container")
    execute.add_argument("cluster", metavar="CLUSTER")
    execute.add_argument("namespace", metavar="NAMESPACE")
    execute.add_argument("pod", metavar="POD", help="the pod's name, or the beginning of it")
    execute.add_argument("-c", "--container", help="the first one that is not a proxy")
    execute.add_argument("arguments", nargs="+", metavar="COMMAND", help="after --")
    execute.set_defaults(run=_exec)

    kubeconfig = verbs.add_parser("kubeconfig", help="print the path of the kubeconfig")
    kubeconfig.set_defaults(run=_kubeconfig)
    return parser


def _start(state_dir: StateDir, options: argparse.Namespace) -> int:
    lifecycle.start(
        state_dir,
        options.names,
        load_balancers=spec.parse_load_balancers(options.load_balancer),
        chart_folders=options.chart_folder,
        timeout=options.timeout,
        report=_print,
        dataplane_folders=requirements.read_named_folders(),
        flat=options.flat,
        image_delay=options.image_delay,
    )
    status = state_dir.read_status()
    _print(f"charts      {status['charts']}")
    _print(f"kubeconfig  {state_dir.kubeconfig}")
    return 0


def _stop(state_dir: StateDir, options: argparse.Namespace) -> int:
    stopped = lifecycle.stop(state_dir, options.names, delete=options.delete)
    _print(f"stopped {', '.join(stopped)}" if stopped else "nothing was running")
    return 0


def _status(state_dir: StateDir, options: argparse.Namespace) -> int:
    running = state_dir.is_running()
    status = lifecycle.read_live_status(state_dir) if running else {}
    status.setdefault("clusters", {})
    status["running"] = running
    desired = spec.load(state_dir).names if running else ()
    ready = bool(desired) and all(status["clusters"].get(name, {}).get("ready") for name in desired)
    if options.json:
        print(json.dumps(status, indent=2))
    elif not running:
        stopped = ", ".join(state_dir.known_clusters())
        _print("not running" + (f"; run 'python -m hack.lab start' to start {stopped} again" if stopped else ""))
    else:
        for line in _describe(status):
            _print(line)
    return 0 if ready else 1


def _exec(state_dir: StateDir, options: argparse.Namespace) -> NoReturn:
    prefix = container_command_prefix(state_dir, options.cluster, options.namespace, options.pod, options.container)
    os.execv(prefix[0], [*prefix, *options.arguments])


def _kubeconfig(state_dir: StateDir, options: argparse.Namespace) -> int:
    if not state_dir.kubeconfig.exists():
        raise LabError(f"{state_dir.kubeconfig}: no such file; run 'python -m hack.lab start west east'")
    print(state_dir.kubeconfig)
    return 0


def _describe(status: dict[str, Any]) -> list[str]:
    clusters = status["clusters"]
    width = max((len(name) for name in clusters), default=0)
    lines = []
    for name, cluster in clusters.items():
        balancer = cluster.get("loadBalancer", {})
        address = balancer.get("address") or "no load balancer"
        lines.append(f"{name:<{width}}  {cluster['state']:<8}  {cluster.get('apiServer', '')}  {address}")
        lines.append(f"{'':<{width}}    logs {cluster['logs']}")
        lines += [f"{'':<{width}}    {_describe_mirror(mirror)}, log {mirror['log']}" for mirror in cluster["mirrors"]]
    return [*lines, f"charts      {status.get('charts', '')}", f"kubeconfig  {status.get('kubeconfig', '')}"]


def _describe_mirror(mirror: dict[str, Any]) -> str:
    name = f"mirror of {mirror['target']}" if mirror["target"] else "local mirror"
    other = f" ({mirror['program']} in place of {mirror['release']})" if mirror["program"] != mirror["release"] else ""
    return f"{name}: {mirror['state']}{other if mirror['program'] else ''}"


def _print(line: str) -> None:
    print(line, flush=True)


def _interrupt(number: int, frame: types.FrameType | None) -> NoReturn:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
