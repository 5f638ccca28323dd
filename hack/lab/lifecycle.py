"""Starting and stopping, as seen from a command: change the spec, see to the supervisor, wait, and check."""

import contextlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from hack.lab import allocation, kubeconfig, linkerd, processes, programs, spec
from hack.lab.errors import LabError
from hack.lab.spec import ClusterSpec, LoadBalancerKind, Spec
from hack.lab.state_dir import StateDir
from mesh.paths import PROJECT_ROOT

_LOOK = 0.1  # seconds between looks at the status
_SUPERVISOR_PATIENCE = 30.0  # seconds; Python's start on a busy machine
_STOP_PATIENCE = 15.0  # seconds before a supervisor that does not stop is killed

Say = Callable[[str], None]


def start(
    home: StateDir,
    names: Sequence[str],
    *,
    load_balancers: dict[str, LoadBalancerKind],
    chart_folders: Sequence[Path],
    timeout: float,
    say: Say,
    owner: int | None = None,
) -> None:
    """Have these clusters run, besides those that do; return when they are ready.

    Whatever this call began is stopped again when it fails or is interrupted. A lab that it begins with an `owner`, the
    number of a process, stops by itself when that process is gone.

    Raises:
        LabError: something is wrong with what was asked for, or a cluster did not get ready within `timeout` seconds.
    """
    wanted = _wanted(home, names, load_balancers)
    for folder in chart_folders:
        if not folder.is_dir():
            raise LabError(f"--chart-folder {folder}: there is no such folder.")
    own_folders, linkerd_folders = programs.own_chart_folders(), linkerd.named_folders()
    programs.kubernetes()
    home.create()
    added: list[str] = []
    try:
        with home.editing():
            before = spec.load(home) if home.is_running() else Spec()
            _refuse_changes(before, wanted, load_balancers)
            added = [cluster.name for cluster in wanted if cluster.name not in before.names]
            folders = dict.fromkeys((*before.chart_folders, *(str(folder.absolute()) for folder in chart_folders)))
            own = dict.fromkeys((*map(str, own_folders), *before.own_chart_folders))
            releases = dict.fromkeys((*map(str, linkerd_folders), *before.linkerd_folders))
            after = replace(
                before.with_clusters(wanted),
                chart_folders=tuple(folders),
                own_chart_folders=tuple(own),
                linkerd_folders=tuple(releases),
            )
            spec.save(home, after)
            _ensure_supervisor(home, owner)
        if added:
            say(f"starting {', '.join(added)}; logs in {home.folder / 'clusters'}/<name>/logs")
        _wait_until_ready(home, [cluster.name for cluster in wanted], added, timeout, say)
    except BaseException as error:
        if added:
            say(f"{'interrupted' if isinstance(error, KeyboardInterrupt) else 'failed'}; stopping {', '.join(added)}")
            with contextlib.suppress(LabError):
                stop(home, added, delete=False)
        raise


def stop(home: StateDir, names: Sequence[str], *, delete: bool) -> list[str]:
    """Stop these clusters, or with no names all, and check that nothing of them is left; `delete` removes their data.

    Returns the names of the clusters that ran.

    Raises:
        LabError: there is no such cluster, or a process can't be ended.
    """
    if not home.folder.is_dir():
        return []
    with home.editing():
        before = spec.load(home)
        unknown = [name for name in names if name not in {*before.names, *home.known_clusters()}]
        if unknown:
            known = ", ".join(home.known_clusters()) or "none"
            raise LabError(f"{', '.join(unknown)}: no such cluster in {home.folder} (there: {known}).")
        recorded = home.read_status()
        after = before.without_clusters(names or before.names)
        spec.save(home, after if after.clusters else Spec())
        supervised = home.is_running()
    if supervised:
        _wait_until_stopped(home, names or before.names)
    if left := _end_leftovers(home, names, recorded):
        raise LabError(f"processes that can't be ended: {left}. Whose are they? See 'ps -fp {left[0]}'.")
    if not home.is_running():
        home.status.unlink(missing_ok=True)
    if delete:
        _delete(home, names)
    return [name for name in before.names if name in names or not names]


def live_status(home: StateDir) -> dict[str, Any]:
    """The status, if the supervisor that wrote it is alive; else an empty one."""
    status = home.read_status()
    return status if processes.alive([status.get("supervisor", {})]) else {}


def _wanted(home: StateDir, names: Sequence[str], load_balancers: dict[str, LoadBalancerKind]) -> list[ClusterSpec]:
    chosen = list(dict.fromkeys(spec.check_name(name) for name in names)) or home.known_clusters()
    if not chosen:
        raise LabError("name the clusters to start, for example 'python -m hack.lab start west east'.")
    stray = [name for name in load_balancers if name not in chosen]
    if stray:
        raise LabError(f"--load-balancer {stray[0]}=…: {stray[0]} is not among the clusters to start.")
    wanted = []
    for name in chosen:
        known = allocation.read(home.cluster(name))
        kept = known.load_balancer if known else LoadBalancerKind.IP
        wanted.append(ClusterSpec(name=name, load_balancer=load_balancers.get(name, kept)))
    return wanted


def _refuse_changes(before: Spec, wanted: Sequence[ClusterSpec], load_balancers: dict[str, LoadBalancerKind]) -> None:
    running = {cluster.name: cluster for cluster in before.clusters}
    for cluster in wanted:
        now = running.get(cluster.name)
        if now and cluster.name in load_balancers and now.load_balancer != cluster.load_balancer:
            raise LabError(
                f"--load-balancer {cluster.name}={cluster.load_balancer}: {cluster.name} runs with "
                f"'{now.load_balancer}'. Stop it first: 'python -m hack.lab stop {cluster.name}'."
            )


def _ensure_supervisor(home: StateDir, owner: int | None) -> None:
    """Have a supervisor. Called with the edit lock held, so that two `start`s make one."""
    if home.is_running():
        return
    with home.log.open("ab") as log:
        log.truncate()
        child = subprocess.Popen(
            [sys.executable, "-m", "hack.lab.supervisor", str(home.folder), *([] if owner is None else [str(owner)])],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd=PROJECT_ROOT,
            start_new_session=True,  # Ctrl-C in the terminal is not for it
        )
    deadline = time.monotonic() + _SUPERVISOR_PATIENCE
    try:
        while not home.is_running():
            if child.poll() is not None or time.monotonic() > deadline:
                raise LabError(f"the lab's supervisor does not start. Its log, {home.log}, ends:\n{_tail(home.log)}")
            time.sleep(0.05)
    except BaseException:
        # Nobody else knows of it yet, so nobody else would stop it.
        child.terminate()
        child.wait()
        raise


def _wait_until_ready(home: StateDir, names: Sequence[str], began: Sequence[str], timeout: float, say: Say) -> None:
    waiting = list(names)
    deadline = time.monotonic() + timeout
    while waiting:
        supervised = home.is_running()
        clusters: dict[str, Any] = live_status(home).get("clusters", {}) if supervised else {}
        for name in list(waiting):
            cluster = clusters.get(name, {})
            if cluster.get("ready"):
                since = f"ready after {cluster['seconds']} s" if name in began else "runs"
                say(f"  {name}  {since}  {cluster['apiServer']}")
                waiting.remove(name)
            elif str(cluster.get("state", "")).startswith("failed"):
                raise LabError(f"cluster {name}: {_explain(cluster)}")
        if waiting and not supervised:
            raise LabError(f"the lab's supervisor is gone. Its log, {home.log}, ends:\n{_tail(home.log)}")
        if waiting and time.monotonic() > deadline:
            state = clusters.get(waiting[0], {}).get("state", "not begun")
            raise LabError(
                f"cluster {waiting[0]}: not ready after {timeout:.0f} s ({state}). "
                f"Logs are in {home.cluster(waiting[0]) / 'logs'}; on a slow machine give a longer --timeout."
            )
        if waiting:
            time.sleep(_LOOK)


def _wait_until_stopped(home: StateDir, names: Sequence[str]) -> None:
    """Return when none of these clusters is left, and, if no other is wanted, no supervisor either."""
    deadline = time.monotonic() + _STOP_PATIENCE
    while home.is_running():
        status = live_status(home)
        left = {*status.get("clusters", {}), *status.get("ending", [])}
        # What another command wants again meanwhile is no longer ours to wait for.
        wanted = spec.load(home).names
        if status and wanted and not left.intersection(set(names).difference(wanted)):
            return
        if time.monotonic() > deadline:
            # It hangs, or is stopped itself. Its children die with it, or are ended by whoever called us.
            processes.end([home.read_status().get("supervisor", {})], seconds=5)
            return
        time.sleep(_LOOK)


def _end_leftovers(home: StateDir, names: Sequence[str], before: dict[str, Any]) -> list[int]:
    """Kill what a dead supervisor left of these clusters (no names: of all), and itself; the pids that survive that."""
    clusters = {**before.get("clusters", {}), **home.read_status().get("clusters", {})}
    gone = {*(names or clusters)}.difference(spec.load(home).names)
    left = processes.recorded(clusters[name] for name in gone if name in clusters)
    if not home.is_running():
        # It lets go of its lock a moment before its process is gone.
        left.append(before.get("supervisor", {}))
    return processes.end(left, seconds=5)


def _delete(home: StateDir, names: Sequence[str]) -> None:
    with home.editing():
        for name in names or home.known_clusters():
            if name not in spec.load(home).names:
                shutil.rmtree(home.cluster(name), ignore_errors=True)
        kubeconfig.write_merged(home)
        if not home.known_clusters():
            home.kubeconfig.unlink(missing_ok=True)


def _explain(cluster: dict[str, Any]) -> str:
    log = cluster.get("failedLog")
    if not log:
        return str(cluster["state"])
    return f"{cluster['state']}. Its log, {log}, ends:\n{_tail(Path(log))}"


def _tail(path: Path, lines: int = 8) -> str:
    try:
        with path.open("rb") as handle:
            handle.seek(max(0, os.fstat(handle.fileno()).st_size - 8192))
            return "\n".join("    " + line for line in handle.read().decode(errors="replace").splitlines()[-lines:])
    except OSError:
        return "    (nothing)"
