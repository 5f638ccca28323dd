"""Directed links of a mesh, and their diagram."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Literal

Direction = Literal["both", "to-hub", "from-hub"]


@dataclass(frozen=True, kw_only=True, order=True)
class Link:
    """A directed link: `source` can call the services that `target` exports."""

    source: str
    target: str
    has_gateway: bool = field(default=True, compare=False)  # False: pods of the source connect directly to the target's
    # False: the pods are on different networks, so that services without a gateway are not mirrored.
    has_remote_discovery: bool = field(default=True, compare=False)

    @property
    def name(self) -> str:
        """Return the name of the link in resource names and outputs."""
        return f"{self.source}-to-{self.target}"

    def mirrors(self, mode: str) -> bool:
        """Return whether the link mirrors services that its target exports in a mode: gateway or remote-discovery."""
        return self.has_gateway if mode == "gateway" else self.has_remote_discovery


def full_mesh_links(clusters: Sequence[str]) -> list[Link]:
    """Return the links of a full mesh: one from each cluster to each other cluster."""
    pairs = [(source, target) for source in clusters for target in clusters if source != target]
    return [Link(source=source, target=target) for source, target in pairs]


def hub_links(clusters: Sequence[str], hub: str, direction: Direction = "both") -> list[Link]:
    """Return the links between a hub and all other clusters.

    Args:
        clusters: all clusters.
        hub: name of the hub.
        direction: `to-hub` if only the other clusters can call the hub's services, `from-hub` for the opposite.
    """
    spokes = [name for name in clusters if name != hub]
    to_hub = [Link(source=spoke, target=hub) for spoke in spokes]
    from_hub = [Link(source=hub, target=spoke) for spoke in spokes]
    return {"both": to_hub + from_hub, "to-hub": to_hub, "from-hub": from_hub}[direction]


def target_clusters(links: Iterable[Link]) -> frozenset[str]:
    """Return the clusters whose gateway and API server must be reachable from other clusters."""
    return frozenset(link.target for link in links)


def render_mermaid(clusters: Iterable[str], links: Iterable[Link], pending: Iterable[Link] = ()) -> str:
    """Return the topology as a Mermaid flowchart. Arrows have the direction of requests: from source to target.

    Args:
        clusters: names of all clusters.
        links: all links.
        pending: links with an unreachable cluster; their arrows are dotted.
    """
    # Cluster names are only labels, because some words ("end") and characters are reserved in Mermaid.
    nodes = {name: f"c{number}" for number, name in enumerate(clusters)}
    all_links, dotted = set(links), set(pending)
    lines = ["flowchart LR"]
    lines += [f'  {node}["{name}"]' for name, node in nodes.items()]
    for link in sorted(all_links):
        reverse = Link(source=link.target, target=link.source)
        line = "-.-" if link in dotted else "--"
        if reverse not in all_links:
            lines.append(f"  {nodes[link.source]} {line}> {nodes[link.target]}")
        elif link < reverse:
            lines.append(f"  {nodes[link.source]} <{line}> {nodes[link.target]}")
    return "\n".join(lines)
