"""Addresses, host names and networks: what a text must be to be one of them."""

from __future__ import annotations

import ipaddress
import re

DOMAIN = r"^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?(\.[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?)*$"
NETWORK = r"^[0-9a-fA-F.:]+/(0|[1-9][0-9]{0,2})$"


def is_network(value: str) -> bool:
    """Whether a text is a network in CIDR form."""
    # Python would also take a mask in place of the length.
    if not re.fullmatch(NETWORK, value):
        return False
    try:
        ipaddress.ip_network(value)
    except ValueError:
        return False
    return True


def is_loopback(host: str) -> bool:
    """Whether a host leads whoever uses it back to themselves."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        name = host.lower().removesuffix(".")
        return name.endswith(".localhost") or name in ("localhost", "localhost.localdomain")
    inside = getattr(address, "ipv4_mapped", None) or address
    return bool(inside.is_loopback or inside.is_unspecified)


def is_ip(value: str) -> bool:
    """Whether a text is the IP address of a host."""
    try:
        ipaddress.ip_address(value)
    except ValueError:
        return False
    return True


def is_address(value: str) -> bool:
    """Whether a text is an IP address or a host name that a peer could reach."""
    if is_loopback(value):
        return False
    try:
        # The API server refuses these in the endpoints of mirrored services.
        return not (ipaddress.ip_address(value).is_link_local or ipaddress.ip_address(value).is_multicast)
    except ValueError:
        # Four numbers that are no address are no host name either.
        name = value.lower()
        return len(name) <= 253 and bool(re.fullmatch(DOMAIN, name)) and not re.fullmatch(r"[0-9.]+", name)


def is_range(value: str) -> bool:
    """Whether a text is a range of addresses: a network, or the first and the last of them."""
    first, dash, last = value.partition("-")
    if not dash:
        return is_network(value)
    if "%" in value:  # an interface of this machine
        return False
    try:
        ends = ipaddress.ip_address(first.strip()), ipaddress.ip_address(last.strip())
    except ValueError:
        return False
    return ends[0].version == ends[1].version and int(ends[0]) <= int(ends[1])


def addresses(span: str) -> tuple[int, int, int]:
    """An address range as numbers: the version of IP, the first address and the last one."""
    first, dash, last = span.partition("-")
    if dash:
        start, end = ipaddress.ip_address(first.strip()), ipaddress.ip_address(last.strip())
        return start.version, int(start), int(end)
    network = ipaddress.ip_network(span)
    return network.version, int(network[0]), int(network[-1])
