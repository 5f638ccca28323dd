"""The stacks that the tests bring up: both ways, one way, and a hub; both releases."""

from __future__ import annotations

from typing import Any

TWO_WAY: dict[str, Any] = {
    "clusters": {"west": {}, "east": {}},
    "links": [{"source": "west", "target": "east"}, {"source": "east", "target": "west"}],
    "workloads": [{"podinfo": {"exported": ["west", "east"]}}],
}
# A private cluster that nobody reaches, and a public one whose load balancer has a host name.
ONE_WAY: dict[str, Any] = {
    "clusters": {
        "cluster1": {"context": "ctx-1", "gateway": {"loadBalancer": False}},
        "cluster2": {"context": "ctx-2"},
    },
    "links": [{"source": "cluster1", "target": "cluster2"}],
    "linkerd": {"version": "2.13.5"},
    "workloads": [{"podinfo": {"namespace": "samples", "exported": ["cluster2"]}}],
}
HUB: dict[str, Any] = {
    "clusters": {"west": {}, "east": {}, "north": {}},
    "links": [
        {"source": "west", "target": "north"},
        {"source": "east", "target": "north"},
        {"source": "north", "target": "east"},
    ],
    "linkerd": {"version": "2.13.5"},
    "workloads": [{"podinfo": {"exported": ["north", "east"]}}],
}
STACKS = {"two-way": TWO_WAY, "one-way": ONE_WAY, "hub": HUB}
