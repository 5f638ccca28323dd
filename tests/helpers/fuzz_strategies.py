"""Hypothesis strategies for implausible stack files."""

from __future__ import annotations

from typing import Any

from hypothesis import HealthCheck
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from mesh.config import schema
from mesh.config.schema_lookup import TOP_LEVEL_KEYS

SCHEMA = schema.build_schema()
DEFINITIONS = SCHEMA["definitions"]
KEYS = sorted({key for definition in DEFINITIONS.values() for key in definition["properties"]})

arbitrary_texts = st.sampled_from(
    [
        "",
        "west",
        "east",
        "full-mesh",
        "hub",
        "never",
        "true",
        "2.14.10",
        "10.0.0.0/8",
        "https://[::1]:1",
        "[key]",
        "\n",
        "~x",
        "192.0.2.1-192.0.2.9",
        "/a{99999999999999999999}",
        "300ms",
        "smi",
        "/",
    ]
) | st.text(max_size=20)
scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.sampled_from([0, 1, 443, 10**30, -(10**30), 1e308, 0.5])
    | st.floats(allow_nan=False, allow_infinity=False)
    | arbitrary_texts
)
keys = st.sampled_from([*KEYS, "west", "east"]) | arbitrary_texts


def nest(leaves: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Return a strategy for nested lists and mappings with these leaves."""
    return st.recursive(
        leaves, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=4), max_leaves=12
    )


arbitrary_values = nest(scalars)
top_level_keys = st.sampled_from(TOP_LEVEL_KEYS) | keys
secret_keys = st.lists(st.sampled_from(TOP_LEVEL_KEYS), max_size=2)
fuzz_settings = hypothesis_settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
