"""Topology: directed links and their diagram."""

from __future__ import annotations

from mesh.topology import Link, render_mermaid, target_clusters


def test_only_link_targets_must_be_reachable() -> None:
    assert target_clusters([Link(source="west", target="east"), Link(source="north", target="east")]) == {"east"}


def test_link_is_arrow_from_source_to_target() -> None:
    assert render_mermaid(["west", "east"], [Link(source="west", target="east")]).splitlines() == [
        "flowchart LR",
        '  c0["west"]',
        '  c1["east"]',
        "  c0 --> c1",
    ]


def test_links_in_both_directions_are_one_arrow() -> None:
    picture = render_mermaid(["west", "east"], [Link(source="west", target="east"), Link(source="east", target="west")])

    assert picture.splitlines()[3:] == ["  c1 <--> c0"]


def test_cluster_name_may_be_mermaid_keyword() -> None:
    assert '  c0["end"]' in render_mermaid(["end"], [])
