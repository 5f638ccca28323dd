"""Diagram of the clusters with their services, mirrors and weights, as a Mermaid flowchart."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from mesh.service_summary import ServiceSummary


def render_service_topology(clusters: Sequence[str], services: Iterable[ServiceSummary]) -> str:
    """Return a flowchart with a box per cluster and a node per service.

    An arrow leads from a cluster to the services of other clusters that it can call, with the name of the mirror. An
    arrow between two nodes has the weight of a split, or the word `failover`.

    Args:
        clusters: names of all clusters.
        services: the services on their clusters.
    """
    boxes = {name: f"c{number}" for number, name in enumerate(clusters)}
    summaries = list(services)
    nodes = {(each.cluster, each.service): f"s{number}" for number, each in enumerate(summaries)}
    lines = ["flowchart LR"]
    for name, box in boxes.items():
        lines.append(f'  subgraph {box}["{name}"]')
        for each in summaries:
            if each.cluster == name:
                pending = " (pending)" if each.is_pending else ""
                lines.append(f'    {nodes[name, each.service]}["{each.service}{pending}"]')
        lines.append("  end")
    for each in summaries:
        node = nodes[each.cluster, each.service]
        lines += [f'  {boxes[source]} -->|"{mirror}"| {node}' for source, mirror in each.mirrors.items()]
        for target, weight in each.weights.items():
            if target != each.cluster and (target, each.service) in nodes:
                lines.append(f'  {node} -.->|"{weight}"| {nodes[target, each.service]}')
        for target in each.failover:
            if (target, each.service) in nodes:
                lines.append(f'  {node} -.->|"failover"| {nodes[target, each.service]}')
    return "\n".join(lines)
