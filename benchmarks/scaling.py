"""Fits of growth: exponents, and counts as linear functions of clusters and links."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from statistics import linear_regression


@dataclass(frozen=True, kw_only=True)
class Shape:
    """The numbers of clusters and links of one mesh, and a count."""

    clusters: int
    links: int
    count: int


@dataclass(frozen=True, kw_only=True)
class Plane:
    """The function `count = per_cluster · clusters + per_link · links + fixed`."""

    per_cluster: int
    per_link: int
    fixed: int

    def value_at(self, clusters: int, links: int) -> int:
        """Return the value for a mesh."""
        return self.per_cluster * clusters + self.per_link * links + self.fixed

    def __str__(self) -> str:
        return f"{self.per_cluster} · N + {self.per_link} · links + {self.fixed}"


def fit_exponent(sizes: Sequence[float], values: Sequence[float]) -> float:
    """Return the exponent of growth, by least squares of the logarithms."""
    return linear_regression([math.log(size) for size in sizes], [math.log(value) for value in values]).slope


def fit_plane(shapes: Sequence[Shape]) -> Plane | None:
    """Return the plane with integer coefficients that contains every shape, or None if there is none.

    Raises:
        ValueError: the shapes do not determine a plane.
    """
    coefficients = _solve_coefficients(shapes)
    if any(value.denominator != 1 for value in coefficients):
        return None
    candidate = Plane(per_cluster=int(coefficients[0]), per_link=int(coefficients[1]), fixed=int(coefficients[2]))
    return candidate if all(candidate.value_at(each.clusters, each.links) == each.count for each in shapes) else None


def _solve_coefficients(shapes: Sequence[Shape]) -> list[Fraction]:
    """Return the coefficients from three of the shapes, by Gaussian elimination with fractions."""
    rows: list[list[Fraction]] = []
    pivots: list[int] = []
    for shape in shapes:
        row = [Fraction(value) for value in (shape.clusters, shape.links, 1, shape.count)]
        for pivot, known in zip(pivots, rows, strict=True):
            row = [value - row[pivot] * other for value, other in zip(row, known, strict=True)]
        column = next((number for number, value in enumerate(row[:3]) if value), None)
        if column is None:
            continue
        row = [value / row[column] for value in row]
        rows = [[a - known[column] * b for a, b in zip(known, row, strict=True)] for known in rows]
        rows.append(row)
        pivots.append(column)
        if len(rows) == 3:
            return [rows[pivots.index(number)][3] for number in range(3)]
    raise ValueError("three shapes that differ in clusters and in links are needed")
