"""Volumes of pods, as folders that containers mount.

https://kubernetes.io/docs/concepts/storage/volumes/
"""

import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hack.lab.dataplane.environment import FindObject, MissingObjectError, PodFields, read_keys

_DATA = "..data"


def project_files(volume: Mapping[str, Any], fields: PodFields, find: FindObject) -> dict[str, bytes] | None:
    """Return the files of a volume by path, without tokens; None if the pod itself writes the volume.

    Raises:
        MissingObjectError: an object or a key is missing and not optional.
    """
    if "projected" in volume:
        files: dict[str, bytes] = {}
        for source in volume["projected"].get("sources") or []:
            files |= _read_source(source, fields, find)
        return files
    if volume.keys() & {"secret", "configMap", "downwardAPI"}:
        return _read_source(volume, fields, find)
    return None


def token_requests(volume: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return the service account tokens of a volume, each with path, audience and lifetime."""
    sources = (volume.get("projected") or {}).get("sources") or []
    return [source["serviceAccountToken"] for source in sources if "serviceAccountToken" in source]


def write_files(folder: Path, files: Mapping[str, bytes]) -> None:
    """Replace the files of a volume at once; programs watch the link `..data`, as the kubelet writes it.

    https://pkg.go.dev/k8s.io/kubernetes/pkg/volume/util#AtomicWriter
    """
    folder.mkdir(parents=True, exist_ok=True)
    current = folder / _DATA
    if current.is_symlink() and _read_files(current) == files:
        return
    number = int(current.readlink().name.lstrip(".")) + 1 if current.is_symlink() else 1
    content = folder / f"..{number}"
    for path, data in files.items():
        file = content / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data)
    content.mkdir(exist_ok=True)
    previous = current.resolve() if current.is_symlink() else None
    link = folder / "..data_tmp"
    link.unlink(missing_ok=True)
    link.symlink_to(content.name)
    link.replace(current)
    names = {path.split("/", 1)[0] for path in files}
    for name in names:
        if not (folder / name).is_symlink():
            (folder / name).symlink_to(f"{_DATA}/{name}")
    for entry in folder.iterdir():
        if entry.is_symlink() and not entry.name.startswith("..") and entry.name not in names:
            entry.unlink()
    if previous is not None:
        shutil.rmtree(previous, ignore_errors=True)


def mounts(container: Mapping[str, Any], volumes_folder: Path) -> list[tuple[str, str]]:
    """Return source and target of a container's mounts, outer folders first."""
    pairs = []
    for mount in container.get("volumeMounts") or []:
        source = volumes_folder / mount["name"]
        if sub_path := mount.get("subPath"):
            source = source / sub_path
        pairs.append((str(source), mount["mountPath"]))
    return sorted(pairs, key=lambda pair: pair[1].count(os.sep))


def _read_source(source: Mapping[str, Any], fields: PodFields, find: FindObject) -> dict[str, bytes]:
    if "downwardAPI" in source:
        items: Sequence[Mapping[str, Any]] = source["downwardAPI"].get("items") or []
        return {i["path"]: fields.read(i["fieldRef"]["fieldPath"]).encode() for i in items if "fieldRef" in i}
    for kind in ("secret", "configMap"):
        if kind in source:
            return _select_items(read_keys(find, kind, source[kind]), source[kind])
    return {}


def _select_items(contents: Mapping[str, bytes], reference: Mapping[str, Any]) -> dict[str, bytes]:
    items = reference.get("items")
    if not items:
        return dict(contents)
    missing = [item["key"] for item in items if item["key"] not in contents]
    if missing and not reference.get("optional"):
        raise MissingObjectError(f"{reference.get('name') or reference.get('secretName')}: has no key {missing[0]} yet")
    return {item["path"]: contents[item["key"]] for item in items if item["key"] in contents}


def _read_files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
