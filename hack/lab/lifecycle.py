"""Start and stop of clusters for commands: change the spec, start the supervisor, wait, and verify."""

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

from hack.lab import allocation, kubeconfig, linkerd, programs, restarting_process, spec
from hack.lab.dataplane.requirements import VARIABLE as DATAPLANE_VARIABLE
from hack.lab.errors import LabError
from hack.lab.spec import ClusterSpec, LabSpec, LoadBalancerKind
from hack.lab.state_dir import StateDir
from mesh.paths import PROJECT_ROOT

_POLL_INTERVAL_S = 0.1
_SUPERVISOR_START_TIMEOUT_S = 30.0  # Python starts slowly on a busy machine
_STOP_TIMEOUT_S = 15.0  # a supervisor that still runs is then killed
_KILL_TIMEOUT_S = 5

ReportLine = Callable[[str], None]


def start(
    state_dir: StateDir,
    names: Sequence[str],
    *,
    load_balancers: dict[str, LoadBalancerKind],
    chart_folders: Sequence[Path],
    timeout: float,
    report: ReportLine,
    owner: int | None = None,
    dataplane_folders: Sequence[Path] = (),
    flat: bool = False,
    image_delay: float = 0.0,
) -> None:
    """Start clusters in addition to the running ones, and wait until they are ready.

    After an error or an interruption, the clusters that this call started are stopped again.

    Args:
        state_dir: the lab's folder.
        names: the clusters; without names, all clusters with data.
        load_balancers: the kind of load balancer, by cluster.
        chart_folders: folders with chart archives, instead of the toolchain's.
        timeout: seconds until all clusters must be ready.
        report: prints a line of progress.
        owner: the pid of a process; a lab that this call starts stops when this process ends.
        dataplane_folders: folders with Linkerd's proxies (`dataplane.requirements`); none for simulated pods.
        flat: whether the data plane's pods reach pods of other clusters.
        image_delay: seconds until a container of the data plane starts, as if its image were pulled.

    Raises:
        LabError: an argument is invalid, or a cluster is not ready in time.
    """
    desired = _desired_clusters(state_dir, names, load_balancers)
    for folder in chart_folders:
        if not folder.is_dir():
            raise LabError(f"--chart-folder {folder}: no such folder; name a folder with chart archives (*.tgz)")
    own_folders, linkerd_folders = programs.read_own_chart_folders(), linkerd.read_named_folders()
    programs.find_kubernetes_folder()
    state_dir.create()
    new_names: list[str] = []
    try:
        with state_dir.edit_lock():
            before = spec.load(state_dir) if state_dir.is_running() else LabSpec()
            _reject_changes(before, desired, load_balancers)
            is_new = not before.clusters
            reject_dataplane_changes(before, dataplane_folders, flat=flat, image_delay=image_delay)
            new_names = [cluster.name for cluster in desired if cluster.name not in before.names]
            folders = dict.fromkeys((*before.chart_folders, *(str(folder.absolute()) for folder in chart_folders)))
            own = dict.fromkeys((*map(str, own_folders), *before.own_chart_folders))
            releases = dict.fromkeys((*map(str, linkerd_folders), *before.linkerd_folders))
            after = replace(
                before.with_clusters(desired),
                chart_folders=tuple(folders),
                own_chart_folders=tuple(own),
                linkerd_folders=tuple(releases),
                dataplane_folders=tuple(map(str, dataplane_folders)) if is_new else before.dataplane_folders,
                is_flat=flat if is_new else before.is_flat,
                image_delay_s=image_delay if is_new else before.image_delay_s,
            )
            spec.save(state_dir, after)
            _ensure_supervisor(state_dir, owner)
        if new_names:
            report(f"starting {', '.join(new_names)}; logs in {state_dir.folder / 'clusters'}/<name>/logs")
        _wait_until_ready(state_dir, [cluster.name for cluster in desired], new_names, timeout, report)
    except BaseException as error:
        if new_names:
            reason = "interrupted" if isinstance(error, KeyboardInterrupt) else "failed"
            report(f"{reason}; stopping {', '.join(new_names)}")
            with contextlib.suppress(LabError):
                stop(state_dir, new_names, delete=False)
        raise


def stop(state_dir: StateDir, names: Sequence[str], *, delete: bool) -> list[str]:
    """Stop clusters, and verify that none of their processes is left; return the names of those that ran.

    Args:
        state_dir: the lab's folder.
        names: the clusters; without names, all.
        delete: whether to delete their data too.

    Raises:
        LabError: there is no such cluster, or a process cannot be killed.
    """
    if not state_dir.folder.is_dir():
        return []
    with state_dir.edit_lock():
        before = spec.load(state_dir)
        unknown = [name for name in names if name not in {*before.names, *state_dir.known_clusters()}]
        if unknown:
            known = ", ".join(state_dir.known_clusters()) or "none"
            raise LabError(f"{', '.join(unknown)}: no such cluster in {state_dir.folder}; name one of these: {known}")
        status_before = state_dir.read_status()
        after = before.without_clusters(names or before.names)
        spec.save(state_dir, after if after.clusters else LabSpec())
        is_supervised = state_dir.is_running()
    if is_supervised:
        _wait_until_stopped(state_dir, names or before.names)
    if survivors := _kill_leftovers(state_dir, names, status_before):
        raise LabError(f"processes {survivors} cannot be killed; find their owner with 'ps -fp {survivors[0]}'")
    if not state_dir.is_running():
        state_dir.status.unlink(missing_ok=True)
    if delete:
        _delete_data(state_dir, names)
    return [name for name in before.names if name in names or not names]


def read_live_status(state_dir: StateDir) -> dict[str, Any]:
    """Return the status if the supervisor that wrote it still runs, else an empty one."""
    status = state_dir.read_status()
    return status if restarting_process.find_alive([status.get("supervisor", {})]) else {}


def _desired_clusters(
    state_dir: StateDir, names: Sequence[str], load_balancers: dict[str, LoadBalancerKind]
) -> list[ClusterSpec]:
    selected = list(dict.fromkeys(spec.check_name(name) for name in names)) or state_dir.known_clusters()
    if not selected:
        raise LabError("no cluster to start; name clusters, for example 'python -m hack.lab start west east'")
    unknown = [name for name in load_balancers if name not in selected]
    if unknown:
        raise LabError(
            f"--load-balancer {unknown[0]}=…: {unknown[0]} is not started by this command; add it to the names"
        )
    desired = []
    for name in selected:
        known = allocation.read_allocation(state_dir.cluster(name))
        default = known.load_balancer if known else LoadBalancerKind.IP
        desired.append(ClusterSpec(name=name, load_balancer=load_balancers.get(name, default)))
    return desired


def _reject_changes(
    before: LabSpec, desired: Sequence[ClusterSpec], load_balancers: dict[str, LoadBalancerKind]
) -> None:
    running = {cluster.name: cluster for cluster in before.clusters}
    for cluster in desired:
        now = running.get(cluster.name)
        if now and cluster.name in load_balancers and now.load_balancer != cluster.load_balancer:
            raise LabError(
                f"--load-balancer {cluster.name}={cluster.load_balancer}: {cluster.name} runs with "
                f"'{now.load_balancer}'; stop it first with 'python -m hack.lab stop {cluster.name}'"
            )


def reject_dataplane_changes(before: LabSpec, folders: Sequence[Path], *, flat: bool, image_delay: float) -> None:
    """Report a data plane that differs from that of the running lab; without the variable, the lab keeps its own.

    Args:
        before: the spec of the running lab; an empty one if no lab runs.
        folders: folders with Linkerd's programs; none if the variable is not set.
        flat: whether pods must reach pods of other clusters.
        image_delay: seconds until a container must start; 0 if not requested.

    Raises:
        LabError: the data plane differs, or an option needs one.
    """
    options = [name for name, is_set in (("--flat", flat), ("--image-delay", bool(image_delay))) if is_set]
    if options and not (folders or before.dataplane_folders):
        raise LabError(f"{options[0]}: needs a data plane; set {DATAPLANE_VARIABLE} (docs/lab.md)")
    if not before.clusters:
        return
    stop_first = "stop the lab first with 'python -m hack.lab stop'"
    if folders and tuple(map(str, folders)) != before.dataplane_folders:
        now = os.pathsep.join(before.dataplane_folders)
        running = f"the lab runs with {now}" if now else "the lab runs without a data plane"
        raise LabError(f"{DATAPLANE_VARIABLE}: {os.pathsep.join(map(str, folders))}: {running}; {stop_first}")
    if flat and not before.is_flat:
        raise LabError(f"--flat: the lab runs without a flat network; {stop_first}")
    if image_delay and image_delay != before.image_delay_s:
        raise LabError(f"--image-delay: {image_delay:g}: the lab runs with {before.image_delay_s:g}; {stop_first}")


def _ensure_supervisor(state_dir: StateDir, owner: int | None) -> None:
    """Start a supervisor unless one runs; the caller holds the edit lock, so that two calls start only one."""
    if state_dir.is_running():
        return
    with state_dir.log.open("ab") as log:
        log.truncate()
        child = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "hack.lab.supervisor",
                str(state_dir.folder),
                *([] if owner is None else [str(owner)]),
            ],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd=PROJECT_ROOT,
            start_new_session=True,  # no SIGINT from Ctrl-C in the terminal
        )
    deadline = time.monotonic() + _SUPERVISOR_START_TIMEOUT_S
    try:
        while not state_dir.is_running():
            if child.poll() is not None or time.monotonic() > deadline:
                raise LabError(
                    f"the lab's supervisor does not start; see the end of its log, {state_dir.log}:\n"
                    f"{_read_tail(state_dir.log)}"
                )
            time.sleep(0.05)
    except BaseException:
        # Only this process can stop a supervisor that has no lock yet.
        child.terminate()
        child.wait()
        raise


def _wait_until_ready(
    state_dir: StateDir, names: Sequence[str], began: Sequence[str], timeout: float, report: ReportLine
) -> None:
    waiting = list(names)
    deadline = time.monotonic() + timeout
    while waiting:
        is_supervised = state_dir.is_running()
        clusters: dict[str, Any] = read_live_status(state_dir).get("clusters", {}) if is_supervised else {}
        for name in list(waiting):
            cluster = clusters.get(name, {})
            if cluster.get("ready"):
                since = f"ready after {cluster['seconds']} s" if name in began else "runs"
                report(f"  {name}  {since}  {cluster['apiServer']}")
                waiting.remove(name)
            elif str(cluster.get("state", "")).startswith("failed"):
                raise LabError(f"cluster {name}: {_describe_failure(cluster)}")
        if waiting and not is_supervised:
            raise LabError(
                f"the lab's supervisor has ended; see the end of its log, {state_dir.log}:\n{_read_tail(state_dir.log)}"
            )
        if waiting and time.monotonic() > deadline:
            state = clusters.get(waiting[0], {}).get("state", "not started")
            raise LabError(
                f"cluster {waiting[0]}: not ready after {timeout:.0f} s ({state}); "
                f"see the logs in {state_dir.cluster(waiting[0]) / 'logs'}, or set a longer --timeout on a slow machine"
            )
        if waiting:
            time.sleep(_POLL_INTERVAL_S)


def _wait_until_stopped(state_dir: StateDir, names: Sequence[str]) -> None:
    """Wait until these clusters are stopped, and the supervisor too if the spec has no clusters left."""
    deadline = time.monotonic() + _STOP_TIMEOUT_S
    while state_dir.is_running():
        status = read_live_status(state_dir)
        running = {*status.get("clusters", {}), *status.get("ending", [])}
        # Another command can have started some of these clusters again; they are not waited for.
        desired = spec.load(state_dir).names
        if status and desired and not running.intersection(set(names).difference(desired)):
            return
        if time.monotonic() > deadline:
            # The supervisor hangs, or has got SIGSTOP. Its children end with it, or the caller kills them.
            restarting_process.kill_recorded([state_dir.read_status().get("supervisor", {})], seconds=_KILL_TIMEOUT_S)
            return
        time.sleep(_POLL_INTERVAL_S)


def _kill_leftovers(state_dir: StateDir, names: Sequence[str], before: dict[str, Any]) -> list[int]:
    """Kill processes of these clusters (without names, of all) that a supervisor has left; return pids that survive."""
    clusters = {**before.get("clusters", {}), **state_dir.read_status().get("clusters", {})}
    stopped = {*(names or clusters)}.difference(spec.load(state_dir).names)
    leftovers = restarting_process.list_records(clusters[name] for name in stopped if name in clusters)
    if not state_dir.is_running():
        # The supervisor releases its lock a moment before its process ends.
        leftovers.append(before.get("supervisor", {}))
    return restarting_process.kill_recorded(leftovers, seconds=_KILL_TIMEOUT_S)


def _delete_data(state_dir: StateDir, names: Sequence[str]) -> None:
    with state_dir.edit_lock():
        for name in names or state_dir.known_clusters():
            if name not in spec.load(state_dir).names:
                shutil.rmtree(state_dir.cluster(name), ignore_errors=True)
        kubeconfig.write_merged(state_dir)
        if not state_dir.known_clusters():
            state_dir.kubeconfig.unlink(missing_ok=True)


def _describe_failure(cluster: dict[str, Any]) -> str:
    log = cluster.get("failedLog")
    if not log:
        return str(cluster["state"])
    return f"{cluster['state']}; see the end of its log, {log}:\n{_read_tail(Path(log))}"


def _read_tail(path: Path, lines: int = 8) -> str:
    try:
        with path.open("rb") as handle:
            handle.seek(max(0, os.fstat(handle.fileno()).st_size - 8192))
            return "\n".join("    " + line for line in handle.read().decode(errors="replace").splitlines()[-lines:])
    except OSError:
        return "    (empty)"
