"""How something grows."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from statistics import linear_regression


@dataclass(frozen=True, kw_only=True)
class Shape:
    """One mesh: its number of clusters, of links, and what was counted in it."""

    clusters: int
    links: int
    count: int


@dataclass(frozen=True, kw_only=True)
class Plane:
    """`count = per_cluster · clusters + per_link · links + fixed`."""

    per_cluster: int
    per_link: int
    fixed: int

    def at(self, clusters: int, links: int) -> int:
        """What it comes to for a mesh."""
        return self.per_cluster * clusters + self.per_link * links + self.fixed

    def __str__(self) -> str:
        return f"{self.per_cluster} · N + {self.per_link} · links + {self.fixed}"


def exponent(sizes: Sequence[float], values: Sequence[float]) -> float:
    """The power of its size by which something grows: least squares of the logarithms."""
    return linear_regression([math.log(size) for size in sizes], [math.log(value) for value in values]).slope


def plane(shapes: Sequence[Shape]) -> Plane | None:
    """The plane with whole coefficients on which every shape lies, or None if there is none.

    Raises:
        ValueError: the shapes are too few or too much alike to tell clusters and links apart.
    """
    found = _through(shapes)
    if any(value.denominator != 1 for value in found):
        return None
    fitted = Plane(per_cluster=int(found[0]), per_link=int(found[1]), fixed=int(found[2]))
    return fitted if all(fitted.at(each.clusters, each.links) == each.count for each in shapes) else None


def _through(shapes: Sequence[Shape]) -> list[Fraction]:
    """The coefficients by three of the shapes that determine them: Gauss, in fractions."""
    rows: list[list[Fraction]] = []
    pivots: list[int] = []
    for shape in shapes:
        row = [Fraction(value) for value in (shape.clusters, shape.links, 1, shape.count)]
        for pivot, known in zip(pivots, rows, strict=True):
            row = [value - row[pivot] * other for value, other in zip(row, known, strict=True)]
        place = next((number for number, value in enumerate(row[:3]) if value), None)
        if place is None:
            continue
        row = [value / row[place] for value in row]
        rows = [[a - known[place] * b for a, b in zip(known, row, strict=True)] for known in rows]
        rows.append(row)
        pivots.append(place)
        if len(rows) == 3:
            return [rows[pivots.index(number)][3] for number in range(3)]
    raise ValueError("three shapes that differ in clusters and in links are needed")
