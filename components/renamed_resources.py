"""Aliases of the resources of renamed clusters.

The aliases come from the stack state: each resource whose name contains the former name of a cluster. So no component
handles renames, and no resource type can be forgotten.

Follows https://www.pulumi.com/docs/iac/concepts/resources/options/aliases/.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from mesh.stack_state import StateResource


def list_aliases(state: Iterable[StateResource], renamed: Mapping[str, str]) -> dict[tuple[str, str], list[str]]:
    """Return the former URNs of the resources of renamed clusters, by type and new name.

    Args:
        state: the resources of the stack state.
        renamed: the new name of each renamed cluster, by its former name.
    """
    if not renamed:
        return {}
    resources = list(state)
    current = {(resource.type, resource.name) for resource in resources}
    aliases: dict[tuple[str, str], list[str]] = {}
    for resource in resources:
        for name in _rename_variants(resource.name, renamed):
            if (resource.type, name) not in current:
                aliases.setdefault((resource.type, name), []).append(resource.urn)
    return aliases


def _rename_variants(name: str, renamed: Mapping[str, str]) -> Iterator[str]:
    """Yield a resource's possible new names; a part can equal a cluster's name by chance, as in `east-test-east`."""
    for words in _replace_words(name.split("-"), {tuple(old.split("-")): new for old, new in renamed.items()}):
        if "-".join(words) != name:
            yield "-".join(words)


def _replace_words(words: Sequence[str], renamed: Mapping[tuple[str, ...], str]) -> Iterator[list[str]]:
    """Yield the words with each choice of replacements; former names can overlap, as `prod` and `prod-east` do."""
    if not words:
        yield []
        return
    for rest in _replace_words(words[1:], renamed):
        yield [words[0], *rest]
    for old, new in renamed.items():
        if tuple(words[: len(old)]) == old:
            for rest in _replace_words(words[len(old) :], renamed):
                yield [new, *rest]
