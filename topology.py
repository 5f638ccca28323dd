"""Who reaches whom: the directed links of a mesh, and their picture."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, order=True)
class Link:
    """A direction of reach: services that `target` exports are seen in `source`."""

    source: str
    target: str

    @property
    def name(self) -> str:
        """How the link is called in resource names and outputs."""
        return f"{self.source}-to-{self.target}"


def targets(links: Iterable[Link]) -> frozenset[str]:
    """The clusters that others must be able to reach: their gateway and their API server."""
    return frozenset(link.target for link in links)


def mermaid(clusters: Iterable[str], links: Iterable[Link]) -> str:
    """The topology as a Mermaid flowchart; arrows go the way that requests do, from source to target."""
    # Mermaid takes some words ("end") and characters for its own, so that a cluster's name can only be a label.
    node = {name: f"c{number}" for number, name in enumerate(clusters)}
    wanted = set(links)
    lines = ["flowchart LR"]
    lines += [f'  {node[name]}["{name}"]' for name in node]
    for link in sorted(wanted):
        back = Link(source=link.target, target=link.source)
        if back not in wanted:
            lines.append(f"  {node[link.source]} --> {node[link.target]}")
        elif link < back:
            lines.append(f"  {node[link.source]} <--> {node[link.target]}")
    return "\n".join(lines)
