"""Services in a review: what changes, and its table."""

from __future__ import annotations

from typing import Any

from mesh import config
from review.markdown import render_review
from review.preview import Preview, ResourceState, Step
from review.report import Report
from review.services import ServiceChange, compare_services
from tests.helpers.stack_files import Environment

STACK_URN = "urn:pulumi:prod::multicluster-mesh::pulumi:pulumi:Stack::multicluster-mesh-prod"
LINKED = {"clusters": {"west": {}, "east": {}}, "topology": "full-mesh"}


def preview_with_output(services: Any) -> Preview:
    before = ResourceState(inputs={}, outputs={"services": services})
    return Preview(steps=(Step(operation="same", urn=STACK_URN, before=before, after=before),))


def test_change_of_weights_and_clients_is_listed(environment: Environment) -> None:
    split = {"cluster": "west", "weights": {"west": 50, "east": 50}}
    allow = [{"from": "ops/*", "clusters": ["east"]}, {"networks": ["10.0.0.0/8"]}]
    service = {"exported": ["east"], "splits": [split], "allow": allow}
    settings = config.parse({**LINKED, "services": {"shop/cart": service}}, environment)
    former = {"east": {"exported": ["gateway"], "mirrors": {"west": "cart-east"}}, "west": {"weights": {"west": 1.0}}}

    changes = compare_services(preview_with_output({"shop/cart": former, "shop/old": {"west": {}}}), settings)

    assert [(each.service, each.cluster, each.operation) for each in changes] == [
        ("shop/cart", "east", "update"),
        ("shop/cart", "west", "update"),
        ("shop/old", "west", "delete"),
    ]
    table = render_review(Report(stack="prod", clusters={}, resources=(), releases=(), services=tuple(changes)))
    assert "### Services: 3" in table
    assert "| ~ | `shop/cart` | `west` | – | – | `west: 1` → `west: 50, east: 50` | – | – |" in table
    assert "| – → `ops/* in east, 10.0.0.0/8` |" in table


def test_unchanged_and_pending_services_are_not_listed(environment: Environment) -> None:
    settings = config.parse(
        {**LINKED, "services": {"shop/cart": {"exported": ["east"], "optional": True}}}, environment
    )
    former = {"exported": ["gateway"], "mirrors": {"west": "cart-east"}, "pending": True}

    assert compare_services(preview_with_output({"shop/cart": {"east": former}}), settings) == []


def test_hostile_name_does_not_break_table() -> None:
    change = ServiceChange(service="a|b", cluster="west", before=None, after={"routes": "a|`b`"})

    table = render_review(Report(stack="prod", clusters={}, resources=(), releases=(), services=(change,)))

    assert "| + | `a\\|b` | `west` | – | – | – | – | `` a\\|`b` `` | – |" in table
