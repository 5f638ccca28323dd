"""Checks of IP addresses, host names, networks and address ranges."""

from __future__ import annotations

import ipaddress
import re

DOMAIN = r"^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?(\.[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?)*$"
NETWORK = r"^[0-9a-fA-F.:]+/(0|[1-9][0-9]{0,2})$"


def is_network(value: str) -> bool:
    """Return whether a text is a network in CIDR form."""
    # Python also accepts a netmask in place of the prefix length.
    if not re.fullmatch(NETWORK, value):
        return False
    try:
        ipaddress.ip_network(value)
    except ValueError:
        return False
    return True


def is_loopback(host: str) -> bool:
    """Return whether a host is a loopback or unspecified address."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        name = host.lower().removesuffix(".")
        return name.endswith(".localhost") or name in ("localhost", "localhost.localdomain")
    mapped = getattr(address, "ipv4_mapped", None) or address
    return bool(mapped.is_loopback or mapped.is_unspecified)


def is_ip(value: str) -> bool:
    """Return whether a text is an IP address."""
    try:
        ipaddress.ip_address(value)
    except ValueError:
        return False
    return True


def is_address(value: str) -> bool:
    """Return whether a text is an IP address or a host name that another cluster can reach."""
    if is_loopback(value):
        return False
    try:
        # The API server rejects these addresses in the endpoints of mirrored services.
        return not (ipaddress.ip_address(value).is_link_local or ipaddress.ip_address(value).is_multicast)
    except ValueError:
        # Reject invalid IPv4 addresses, which match the pattern of host names.
        name = value.lower()
        return len(name) <= 253 and bool(re.fullmatch(DOMAIN, name)) and not re.fullmatch(r"[0-9.]+", name)


def is_range(value: str) -> bool:
    """Return whether a text is an address range: a network, or a first and a last address."""
    first, dash, last = value.partition("-")
    if not dash:
        return is_network(value)
    if "%" in value:  # the zone of a link-local address
        return False
    try:
        ends = ipaddress.ip_address(first.strip()), ipaddress.ip_address(last.strip())
    except ValueError:
        return False
    return ends[0].version == ends[1].version and int(ends[0]) <= int(ends[1])


def parse_address_range(span: str) -> tuple[int, int, int]:
    """Return the IP version, the first address and the last address of a range, as numbers."""
    first, dash, last = span.partition("-")
    if dash:
        start, end = ipaddress.ip_address(first.strip()), ipaddress.ip_address(last.strip())
        return start.version, int(start), int(end)
    network = ipaddress.ip_network(span)
    return network.version, int(network[0]), int(network[-1])
