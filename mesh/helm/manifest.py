"""Objects of a release's manifest."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from typing import Any

from mesh import strict_yaml

_DOCUMENT_SEPARATOR = re.compile(r"^---[ \t]*$", re.MULTILINE)
_KIND = re.compile(r"""^kind:[ \t]*["']?(\w+)""", re.MULTILINE)
_CRD = "CustomResourceDefinition"


def manifest_objects(manifest: str) -> Iterator[dict[str, Any]]:
    """Yield the objects of a manifest.

    Args:
        manifest: YAML documents, as Helm stores them.

    Raises:
        StrictYamlError: the manifest cannot be parsed.
    """
    for document in strict_yaml.load_all(manifest, strict_yaml.MANIFEST_LIMITS):
        if isinstance(document, dict) and document.get("kind") and document.get("metadata"):
            yield document


def find_objects(manifest: str, kinds: Collection[str]) -> Iterator[dict[str, Any]]:
    """Yield the objects of some kinds; CRDs without their spec, whose schemas take most of the time to parse.

    Args:
        manifest: YAML documents, as Helm stores them.
        kinds: kinds of the objects.

    Raises:
        StrictYamlError: the manifest cannot be parsed.
    """
    documents = [each for each in _DOCUMENT_SEPARATOR.split(manifest) if not set(_KIND.findall(each)).isdisjoint(kinds)]
    shortened = [_without_crd_spec(each) for each in documents]
    yield from (each for each in manifest_objects("\n---\n".join(shortened)) if each["kind"] in kinds)


def _without_crd_spec(document: str) -> str:
    start, separator, _ = document.partition("\nspec:")
    is_complete = re.search(r"^metadata:", start, re.MULTILINE) is not None
    return start if separator and is_complete and _KIND.findall(start) == [_CRD] else document
