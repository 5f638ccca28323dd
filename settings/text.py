"""The kinds of text that a stack file holds: what each may look like, and what is said of one that doesn't."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, WithJsonSchema
from pydantic_core import PydanticCustomError

# Helm's limit of 53 on a release's name, less `link-`; Linkerd's own limit is 49 (a Service `probe-gateway-<target>`).
TARGET_NAME_LENGTH = 48

_LABEL = r"^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$"
_DOMAIN = r"^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?(\.[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?)*$"
# Where this program puts the multicluster extension and the CNI plugin.
LINKERD_NAMESPACES = ("linkerd-multicluster", "linkerd-cni")
# Namespaces that a cluster has from its beginning: `destroy` would take them along.
RESERVED_NAMESPACES = ("default", "kube-system", "kube-public", "kube-node-lease")
_LABEL_NAME = r"[a-zA-Z0-9]([-_.a-zA-Z0-9]{0,61}[a-zA-Z0-9])?"
_NETWORK = r"^[0-9a-fA-F.:]+/(0|[1-9][0-9]{0,2})$"
_REGISTRY = r"^[a-zA-Z0-9]([-a-zA-Z0-9.]*[a-zA-Z0-9])?(:[0-9]{1,5})?(/[a-z0-9]+([._-]+[a-z0-9]+)*)*$"


def broken(rule: str, remedy: str) -> PydanticCustomError:
    """A fault that says which rule a value breaks, and what to do."""
    return PydanticCustomError("fault", "{rule}; {remedy}", {"rule": rule, "remedy": remedy})


def _matching(pattern: str, rule: str, remedy: str, longest: int) -> tuple[Any, ...]:
    compiled = re.compile(pattern)

    def check(value: str) -> str:
        if len(value) > longest or not compiled.fullmatch(value):
            raise broken(rule, remedy)
        return value

    schema = {"type": "string", "pattern": pattern, "maxLength": longest}
    return (AfterValidator(check), WithJsonSchema(schema))


def _judged(check: Callable[[str], bool], rule: str, remedy: str) -> AfterValidator:
    def judge(value: str) -> str:
        if not check(value):
            raise broken(rule, remedy)
        return value

    return AfterValidator(judge)


def _url(*schemes: str) -> Callable[[str], bool]:
    def check(value: str) -> bool:
        try:
            parts = urlsplit(value)
            plain = value.isascii() and value.isprintable() and " " not in value and "@" not in parts.netloc
            bare = not parts.query and not parts.fragment and "//" not in parts.path
            return plain and bare and parts.scheme in schemes and bool(parts.hostname) and parts.port != 0
        except ValueError:
            return False

    return check


is_api_server = _url("https")
_is_chart_url = _url("https", "http", "oci")


def is_source(value: str) -> bool:
    """Whether charts can come from there."""
    try:
        return _is_chart_url(value) or Path(expanded(value)).is_dir()
    except (OSError, ValueError):
        return False


def expanded(path: str) -> str:
    """A path with the home folder in place of a `~` at its beginning."""
    try:
        return str(Path(path).expanduser()) if path.startswith("~") else path
    except RuntimeError:  # there is no such user
        return path


def _is_network(value: str) -> bool:
    # Python would also take a mask in place of the length.
    if not re.fullmatch(_NETWORK, value):
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


def _is_address(value: str) -> bool:
    if is_loopback(value):
        return False
    try:
        # The API server refuses these in the endpoints of mirrored services.
        return not (ipaddress.ip_address(value).is_link_local or ipaddress.ip_address(value).is_multicast)
    except ValueError:
        # Four numbers that are no address are no host name either.
        name = value.lower()
        return len(name) <= 253 and bool(re.fullmatch(_DOMAIN, name)) and not re.fullmatch(r"[0-9.]+", name)


def _not_reserved(value: str) -> str:
    if value in RESERVED_NAMESPACES:
        raise broken("this namespace is Kubernetes' own, and `destroy` would remove it", "choose another name")
    return value


def _not_taken(value: str) -> str:
    if value in LINKERD_NAMESPACES:
        raise broken("another part of Linkerd goes there", "choose another name")
    return value


Label = Annotated[
    str,
    *_matching(
        _LABEL, "not a name that Kubernetes accepts", "use lower-case letters, digits and dashes, at most 63", 63
    ),
]
Namespace = Annotated[Label, AfterValidator(_not_reserved)]
ControlPlaneNamespace = Annotated[Namespace, AfterValidator(_not_taken)]
SecretName = Annotated[
    str,
    *_matching(
        _DOMAIN,
        "not a name that a Secret can have",
        "use lower-case letters, digits, dashes and dots, at most 253",
        253,
    ),
]
LabelKey = Annotated[
    str,
    *_matching(
        rf"^([a-z0-9][-.a-z0-9]*[a-z0-9]/)?{_LABEL_NAME}$",
        "not a key that Kubernetes accepts",
        "write it as in `example.com/name`, or without the part before the slash",
        253 + 64,
    ),
]
LabelValue = Annotated[
    str,
    *_matching(
        rf"^({_LABEL_NAME})?$",
        "not a label that Kubernetes accepts",
        "use letters, digits, dashes, dots and underscores, at most 63",
        63,
    ),
]
ClusterName = Annotated[
    str,
    *_matching(
        _LABEL,
        "a cluster's name is part of Kubernetes names: lower-case letters, digits and dashes, at most 63",
        "rename it, and leave the old name in its `context`",
        63,
    ),
]
Domain = Annotated[
    str, *_matching(_DOMAIN, "not a DNS domain", "write it as in `cluster.local`: lower case, no dot at its end", 253)
]
Registry = Annotated[
    str,
    *_matching(
        _REGISTRY,
        "not a registry with the path of its images",
        "write it as in `registry.example.com/linkerd`, without https://",
        253,
    ),
]
Text = Annotated[str, _judged(bool, "empty", "write something, or leave the key out"), Field(min_length=1)]
KubeconfigPath = Annotated[
    Text,
    _judged(
        lambda value: "\n" not in value,
        "a path was expected, not a kubeconfig itself",
        "store that with `pulumi config set --secret --path kubeconfigs.<cluster>`, and replace what was seen",
    ),
]
ApiServer = Annotated[
    str,
    _judged(is_api_server, "not the URL of an API server", "write https://host[:port][/path], and no more"),
    WithJsonSchema({"type": "string", "pattern": "^[hH][tT][tT][pP][sS]://"}),
]
Source = Annotated[
    str,
    _judged(
        is_source,
        "neither the URL of charts nor a folder that is there",
        "write https://host[:port][/path], oci://host/path, or the path of a folder with chart archives",
    ),
]
Network = Annotated[
    str,
    _judged(
        _is_network, "not a network in CIDR form", "write it as in 10.42.0.0/16, with no bit set after the first 16"
    ),
    WithJsonSchema({"type": "string", "pattern": _NETWORK}),
]
Address = Annotated[
    str,
    _judged(
        _is_address,
        "neither an IP address nor a host name that a peer could reach",
        "write it as in 192.0.2.10 or gateway.example.com, without a port",
    ),
]
Port = Annotated[int, Field(ge=1, le=65535)]
NodePort = Annotated[int, Field(ge=1, le=65535)]
Hours = Annotated[int, Field(ge=1, le=100 * 8784)]
_SECRET: dict[str, Any] = {
    "type": "object",
    "description": "A secret: `pulumi config set --secret --path …` writes it.",
    "properties": {"secure": {"type": "string"}},
    "required": ["secure"],
    "additionalProperties": False,
}
# No secret, but it may be among them.
Pem = Annotated[
    str,
    _judged(
        lambda value: "-----BEGIN CERTIFICATE-----" in value,
        "not a certificate in PEM form",
        "write it as a block (`|`) that begins with -----BEGIN CERTIFICATE-----",
    ),
    WithJsonSchema({"anyOf": [{"type": "string"}, _SECRET]}),
]


def _secret(value: Any) -> Any:
    if not isinstance(value, str):
        raise broken("not a text", "store it with `pulumi config set --secret --path …`")
    if not value.strip():
        raise broken("empty", "store it with `pulumi config set --secret --path …`, or take the key out")
    return value


# Only from Pulumi's secrets; an editor sees `secure: …`, the program its text.
Secret = Annotated[SecretStr, BeforeValidator(_secret), WithJsonSchema(_SECRET)]
