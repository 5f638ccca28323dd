"""Topology: directed links, and their picture."""

from __future__ import annotations

from mesh.topology import Link, render_mermaid, target_clusters


def test_only_the_far_end_of_a_link_must_be_reachable() -> None:
    assert target_clusters([Link(source="west", target="east"), Link(source="north", target="east")]) == {"east"}


def test_a_one_way_link_is_an_arrow_from_source_to_target() -> None:
    assert render_mermaid(["west", "east"], [Link(source="west", target="east")]).splitlines() == [
        "flowchart LR",
        '  c0["west"]',
        '  c1["east"]',
        "  c0 --> c1",
    ]


def test_links_both_ways_are_one_arrow_with_two_heads() -> None:
    picture = render_mermaid(["west", "east"], [Link(source="west", target="east"), Link(source="east", target="west")])

    assert picture.splitlines()[3:] == ["  c1 <--> c0"]


def test_a_cluster_may_be_called_like_a_word_of_mermaid() -> None:
    assert '  c0["end"]' in render_mermaid(["end"], [])
