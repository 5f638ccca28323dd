"""Script that sets up a container's root and replaces itself with the container's program.

    python -I -S container_process.py <specification, a JSON file>

The caller has put this process into the pod's PID namespace. The root is an overlay over the machine's own; all that
the container writes is in memory, and disappears with the mount namespace. This is a script and not a module, so that
it starts fast.
"""

import ctypes
import json
import os
import sys
import warnings  # noqa: F401 (os.execvpe imports it, but the container's user may not read the interpreter's folder)

_CLONE_NEWNS, _CLONE_NEWUTS, _CLONE_NEWNET = 0x00020000, 0x04000000, 0x40000000
_MS_BIND, _MS_REC, _MS_PRIVATE = 4096, 16384, 1 << 18
_MAX_LINKS = 40
_libc = ctypes.CDLL(None, use_errno=True)


def main() -> None:
    """Set up the container, then execute its program."""
    with open(sys.argv[1], encoding="utf-8") as file:  # noqa: PTH123 (pathlib takes longer to import than all of this)
        specification = json.load(file)
    network = os.open(specification["network"], os.O_RDONLY)
    _check(_libc.setns(network, _CLONE_NEWNET), "setns")
    os.close(network)
    _check(_libc.unshare(_CLONE_NEWNS | _CLONE_NEWUTS), "unshare")
    hostname = specification["hostname"].encode()
    _check(_libc.sethostname(hostname, len(hostname)), "sethostname")
    root = _mount_root(specification["scratch"])
    for source, target in specification["mounts"]:
        _bind(source, resolve_in_root(root, target))
    os.chroot(root)
    os.chdir("/")
    os.setgroups([])
    os.setgid(specification["gid"])
    os.setuid(specification["uid"])
    environment, argv = specification["environment"], specification["argv"]
    try:
        os.execvpe(argv[0], argv, environment)
    except OSError as error:
        sys.exit(f"{argv[0]}: {error.strerror}")


def resolve_in_root(root: str, path: str) -> str:
    """Return the path below a root, with symbolic links resolved as they would be after chroot."""
    pending, resolved, links = [part for part in path.split("/") if part], root, 0
    while pending:
        part = pending.pop(0)
        if part == "..":
            resolved = root if resolved == root else os.path.dirname(resolved)  # noqa: PTH120
            continue
        candidate = f"{resolved}/{part}"
        if os.path.islink(candidate) and links < _MAX_LINKS:  # noqa: PTH114
            links += 1
            target = os.readlink(candidate)  # noqa: PTH115
            if target.startswith("/"):
                resolved = root
            pending = [each for each in target.split("/") if each not in ("", ".")] + pending
        else:
            resolved = candidate
    return resolved


def _mount_root(scratch: str) -> str:
    _mount("none", "/", None, _MS_REC | _MS_PRIVATE)
    _mount("tmpfs", scratch, "tmpfs")
    upper, work, root = (f"{scratch}/{name}" for name in ("upper", "work", "root"))
    for folder in (upper, work, root):
        os.mkdir(folder)  # noqa: PTH102
    _mount("overlay", root, "overlay", options=f"lowerdir=/,upperdir={upper},workdir={work}")
    _mount("proc", f"{root}/proc", "proc")
    for name in ("dev", "sys"):
        _mount(f"/{name}", f"{root}/{name}", None, _MS_BIND | _MS_REC)
    _mount("tmpfs", f"{root}/tmp", "tmpfs", options="mode=1777")
    _mount("tmpfs", f"{root}/run", "tmpfs", options="mode=755")
    return root


def _bind(source: str, target: str) -> None:
    if os.path.isdir(source):  # noqa: PTH112
        os.makedirs(target, exist_ok=True)  # noqa: PTH103
    else:
        os.makedirs(os.path.dirname(target), exist_ok=True)  # noqa: PTH103, PTH120
        os.close(os.open(target, os.O_CREAT | os.O_WRONLY, 0o644))
    _mount(source, target, None, _MS_BIND | _MS_REC)


def _mount(source: str, target: str, kind: str | None, flags: int = 0, options: str = "") -> None:
    arguments = (source.encode(), target.encode(), kind.encode() if kind else None, flags, options.encode() or None)
    _check(_libc.mount(*arguments), f"mount {target}")


def _check(result: int, name: str) -> None:
    if result:
        sys.exit(f"{name}: {os.strerror(ctypes.get_errno())}")


if __name__ == "__main__":
    main()
