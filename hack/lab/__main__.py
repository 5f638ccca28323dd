"""The lab's commands: start, stop, status, kubeconfig."""

import argparse
import json
import signal
import sys
import types
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

from hack.lab import lifecycle, spec
from hack.lab.errors import LabError
from hack.lab.state_dir import StateDir, locate


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; its exit code."""
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
        description="Local Kubernetes clusters for trying and testing the mesh.",
        epilog="The lab lives in .lab of the checkout, or in $LAB_HOME.",
    )
    verbs = parser.add_subparsers(required=True, metavar="COMMAND")

    start = verbs.add_parser("start", help="start clusters, or add some to those that run")
    start.add_argument("names", nargs="*", metavar="NAME", help="a cluster; without any, all that ran before")
    start.add_argument(
        "--load-balancer",
        action="append",
        default=[],
        metavar="NAME=KIND",
        help="what LoadBalancer Services get: ip (default), hostname or none; repeatable",
    )
    start.add_argument(
        "--chart-folder",
        action="append",
        default=[],
        type=Path,
        metavar="DIR",
        help="serve the chart archives (*.tgz) of this folder in place of the toolchain's; repeatable",
    )
    start.add_argument("--timeout", type=float, default=180, metavar="SECONDS", help="for all to be ready (180)")
    start.set_defaults(run=_start)

    stop = verbs.add_parser("stop", help="stop clusters; their data stays for the next start")
    stop.add_argument("names", nargs="*", metavar="NAME", help="a cluster; without any, all")
    stop.add_argument("--delete", action="store_true", help="and remove their data")
    stop.set_defaults(run=_stop)

    status = verbs.add_parser("status", help="what runs; exit code 0 only if all that is wanted is ready")
    status.add_argument("--json", action="store_true", help="everything there is to know, for programs")
    status.set_defaults(run=_status)

    kubeconfig = verbs.add_parser("kubeconfig", help="print the path of the kubeconfig")
    kubeconfig.set_defaults(run=_kubeconfig)
    return parser


def _start(home: StateDir, options: argparse.Namespace) -> int:
    lifecycle.start(
        home,
        options.names,
        load_balancers=spec.parse_load_balancers(options.load_balancer),
        chart_folders=options.chart_folder,
        timeout=options.timeout,
        say=_say,
    )
    status = home.read_status()
    _say(f"charts      {status['charts']}")
    _say(f"kubeconfig  {home.kubeconfig}")
    return 0


def _stop(home: StateDir, options: argparse.Namespace) -> int:
    stopped = lifecycle.stop(home, options.names, delete=options.delete)
    _say(f"stopped {', '.join(stopped)}" if stopped else "nothing was running")
    return 0


def _status(home: StateDir, options: argparse.Namespace) -> int:
    running = home.is_running()
    status = lifecycle.live_status(home) if running else {}
    status.setdefault("clusters", {})
    status["running"] = running
    wanted = spec.load(home).names if running else ()
    ready = bool(wanted) and all(status["clusters"].get(name, {}).get("ready") for name in wanted)
    if options.json:
        print(json.dumps(status, indent=2))
    elif not running:
        kept = ", ".join(home.known_clusters())
        _say("not running" + (f"; 'python -m hack.lab start' brings back {kept}" if kept else ""))
    else:
        for line in _describe(status):
            _say(line)
    return 0 if ready else 1


def _kubeconfig(home: StateDir, options: argparse.Namespace) -> int:
    if not home.kubeconfig.exists():
        raise LabError(f"{home.kubeconfig}: not there yet. Run 'python -m hack.lab start west east'.")
    print(home.kubeconfig)
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
        lines += [f"{'':<{width}}    {_mirror(mirror)}, log {mirror['log']}" for mirror in cluster["mirrors"]]
    return [*lines, f"charts      {status.get('charts', '')}", f"kubeconfig  {status.get('kubeconfig', '')}"]


def _mirror(mirror: dict[str, Any]) -> str:
    name = f"mirror of {mirror['target']}" if mirror["target"] else "local mirror"
    other = f" ({mirror['program']} in place of {mirror['release']})" if mirror["program"] != mirror["release"] else ""
    return f"{name}: {mirror['state']}{other if mirror['program'] else ''}"


def _say(line: str) -> None:
    print(line, flush=True)


def _interrupt(number: int, frame: types.FrameType | None) -> NoReturn:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
