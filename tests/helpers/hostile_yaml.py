"""Hostile YAML, with the error that each text must cause wherever the project reads YAML."""

from __future__ import annotations

from mesh import strict_yaml


def billion_laughs(levels: int) -> str:
    """Return a few lines whose aliases expand to 10^levels values."""
    lines = ["a0: &a0 lol"]
    for level in range(1, levels + 1):
        lines.append(f"a{level}: &a{level} [{', '.join([f'*a{level - 1}'] * 10)}]")
    return "\n".join(lines) + "\n"


def billion_laughs_by_merge(levels: int) -> str:
    """Return a few lines whose merge keys expand to 10^levels values."""
    lines = ["m0: &m0 {k: v}"]
    for level in range(1, levels + 1):
        inner = ", ".join(f"k{number}: *m{level - 1}" for number in range(10))
        lines.append(f"m{level}: &m{level} {{<<: *m{level - 1}, {inner}}}")
    return "\n".join(lines) + "\n"


def _to_bytes(text: object) -> bytes:
    return text if isinstance(text, bytes) else str(text).encode()


TOO_MANY = rf"line \d+: more than {strict_yaml.DEFAULT_LIMITS.max_values} values, with aliases expanded"
TOO_DEEP = rf"line \d+: nested more than {strict_yaml.MAX_DEPTH} deep"
DUPLICATE_KEY = r'line \d+: duplicate key "west"; remove one of the two'

# Content and regular expression of the error, by name.
HOSTILE_YAML: dict[str, tuple[bytes, str]] = {
    name: (_to_bytes(text), error)
    for name, (text, error) in {
        "a billion laughs": (billion_laughs(9), TOO_MANY),
        "a billion laughs by merge keys": (billion_laughs_by_merge(9), TOO_MANY),
        "a long list many times": (
            f"x: &x [{', '.join('1' * 1000)}]\ny: [{', '.join(['*x'] * 1000)}]\n",
            TOO_MANY,
        ),
        "too many values": ("- 1\n" * (strict_yaml.DEFAULT_LIMITS.max_values + 1), TOO_MANY),
        "a recursive alias": ("a: &a [1, *a]\n", r"line 1: an alias for a collection that contains it"),
        "a recursive alias as a key": ("&a {*a : 1}\n", r"line 1: an alias for a collection that contains it"),
        "lists in lists": ("[" * 100_000, TOO_DEEP),
        "mappings in mappings": ("{a: " * 100_000, TOO_DEEP),
        "keys in keys": ("? " * 100_000, TOO_DEEP),
        "lists in lists, line by line": ("- " * 100_000, TOO_DEEP),
        "mappings in mappings, line by line": ("".join(f"{' ' * n}a:\n" for n in range(300)), TOO_DEEP),
        "a key twice": ("west: 1\neast: 2\nwest: 3\n", DUPLICATE_KEY),
        "a key twice, once in quotes": ("west: 1\n'west': 3\n", DUPLICATE_KEY),
        "a key twice, nested": ("a: {b: [{west: {}, 'west': {}}]}\n", DUPLICATE_KEY),
        "a key twice, as a mapping": ("west: {}\nwest: {}\n", DUPLICATE_KEY),
        "binary": (bytes(range(256)), "not YAML"),
        "Latin-1": ("a: caf\xe9\n".encode("latin-1"), "not YAML"),
        "truncated UTF-16": ("a: b\n".encode("utf-16")[:-1], "not YAML"),
        "a NUL": (b"a: b\0c\n", "not YAML"),
        "an escape": (b"a: \x1b[31m\n", "not YAML"),
        "a Python tag": ("a: !!python/object/apply:os.system ['id']\n", "not YAML at line 1"),
        "a Python name": ("a: !!python/name:os.system\n", "not YAML at line 1"),
        "an unknown tag": ("a: !secret x\n", "not YAML at line 1"),
        "a tag with a wrong value": ("a: !!int _\n", "not YAML"),
        "an invalid date": ("a: !!timestamp 2026-99-99\n", "not YAML"),
        "a number of 10,000 digits": (f"a: {'9' * 10_000}\n", "not YAML"),
        "a mapping as a key": ("? {a: b}\n: c\n", "not YAML at line 1"),
        "two documents": ("a: 1\n---\nb: 2\n", "not YAML at line 2"),
        "an undefined alias": ("a: *b\n", "not YAML at line 1"),
        "a tab": ("a:\n\tb: 1\n", "not YAML at line 2"),
        "an open quote": ('a: "b\n', "not YAML"),
        "an endless line": (b"a: " + b"x" * (strict_yaml.DEFAULT_LIMITS.max_bytes + 1), "larger than 16 MiB"),
    }.items()
}
