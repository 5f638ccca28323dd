"""How long certificates may be valid."""

from __future__ import annotations

from dataclasses import dataclass

_YEAR = 366 * 24


@dataclass(frozen=True, kw_only=True)
class Bounds:
    """Hours of validity. What the program makes by default is within them, leap days or not."""

    shortest: int = 24  # of any certificate: one that ends before the next working day is nobody's to renew by `up`
    authority: int = 10 * _YEAR  # the longest of a certificate that signs itself
    certificate: int = _YEAR  # the longest of one that an authority signs, issuers included
