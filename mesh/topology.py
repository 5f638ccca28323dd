"""Who reaches whom: the directed links of a mesh, and their picture."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Literal

Direction = Literal["both", "to-hub", "from-hub"]


@dataclass(frozen=True, kw_only=True, order=True)
class Link:
    """A direction of reach: services that `target` exports are seen in `source`."""

    source: str
    target: str
    gateway: bool = field(default=True, compare=False)  # False: the source's pods reach the target's pods themselves
    # False: the clusters say that their pods are on different networks, so what is reached pod by pod isn't seen.
    discovers: bool = field(default=True, compare=False)

    @property
    def name(self) -> str:
        """How the link is called in resource names and outputs."""
        return f"{self.source}-to-{self.target}"


def full_mesh(clusters: Sequence[str]) -> list[Link]:
    """Every cluster sees every other."""
    pairs = [(source, target) for source in clusters for target in clusters if source != target]
    return [Link(source=source, target=target) for source, target in pairs]


def hub(clusters: Sequence[str], middle: str, direction: Direction = "both") -> list[Link]:
    """Every cluster and the one in the middle, in one direction or both; the others don't see one another."""
    spokes = [name for name in clusters if name != middle]
    inward = [Link(source=spoke, target=middle) for spoke in spokes]
    outward = [Link(source=middle, target=spoke) for spoke in spokes]
    return {"both": inward + outward, "to-hub": inward, "from-hub": outward}[direction]


def targets(links: Iterable[Link]) -> frozenset[str]:
    """The clusters that others must be able to reach: their gateway and their API server."""
    return frozenset(link.target for link in links)


def mermaid(clusters: Iterable[str], links: Iterable[Link], pending: Iterable[Link] = ()) -> str:
    """The topology as a Mermaid flowchart; arrows go the way that requests do, from source to target.

    Args:
        clusters: all names.
        links: all links.
        pending: those of them that wait for a cluster; they are dotted.
    """
    # Mermaid takes some words ("end") and characters for its own, so that a cluster's name can only be a label.
    node = {name: f"c{number}" for number, name in enumerate(clusters)}
    wanted, waiting = set(links), set(pending)
    lines = ["flowchart LR"]
    lines += [f'  {node[name]}["{name}"]' for name in node]
    for link in sorted(wanted):
        back = Link(source=link.target, target=link.source)
        line = "-.-" if link in waiting else "--"
        if back not in wanted:
            lines.append(f"  {node[link.source]} {line}> {node[link.target]}")
        elif link < back:
            lines.append(f"  {node[link.source]} <{line}> {node[link.target]}")
    return "\n".join(lines)
