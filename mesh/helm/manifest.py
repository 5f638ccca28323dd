"""Objects of a release's manifest."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from typing import Any

from mesh import strict_yaml

_DOCUMENT_SEPARATOR = re.compile(r"^---[ \t]*$", re.MULTILINE)
_KIND = re.compile(r"""^kind:[ \t]*["']?(\w+)""", re.MULTILINE)


def manifest_objects(manifest: str, kinds: Collection[str] | None = None) -> Iterable[dict[str, Any]]:
    """Yield the objects of a manifest.

    Args:
        manifest: YAML documents, as Helm stores them.
        kinds: kinds of the objects; None for all. Documents of other kinds, such as large CRDs, are not parsed.

    Raises:
        StrictYamlError: the manifest cannot be parsed.
    """
    if kinds is not None:
        documents = _DOCUMENT_SEPARATOR.split(manifest)
        manifest = "\n---\n".join(each for each in documents if any(kind in kinds for kind in _KIND.findall(each)))
    for document in strict_yaml.load_all(manifest, strict_yaml.MANIFEST_LIMITS):
        is_object = isinstance(document, dict) and document.get("kind") and document.get("metadata")
        if is_object and (kinds is None or document["kind"] in kinds):
            yield document
