"""The kinds of text that a stack file holds: what each may look like, and what is said of one that doesn't."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, WithJsonSchema
from pydantic_core import PydanticCustomError

from mesh.config.network_types import DOMAIN, NETWORK, is_address, is_network, is_range

# Helm's limit of 53 on a release's name, less `link-`; Linkerd's own limit is 49 (a Service `probe-gateway-<target>`).
TARGET_NAME_LENGTH = 48

_LABEL = r"^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$"
# Where this program puts Linkerd's extensions and its CNI plugin.
LINKERD_NAMESPACES = ("linkerd-multicluster", "linkerd-cni", "linkerd-viz", "linkerd-jaeger", "linkerd-smi")
# Where it puts what a cluster may lack.
OTHER_NAMESPACES = ("metallb-system", "ingress-nginx")
# Namespaces that a cluster has from its beginning: `destroy` would take them along. Only samples may go into `default`.
RESERVED_NAMESPACES = ("default", "kube-system", "kube-public", "kube-node-lease")
_LABEL_NAME = r"[a-zA-Z0-9]([-_.a-zA-Z0-9]{0,61}[a-zA-Z0-9])?"
_REGISTRY = r"^[a-zA-Z0-9]([-a-zA-Z0-9.]*[a-zA-Z0-9])?(:[0-9]{1,5})?(/[a-z0-9]+([._-]+[a-z0-9]+)*)*$"
# A registry's host with its port, the path, and a tag or a digest or both.
_IMAGE = (
    r"^([a-zA-Z0-9][-a-zA-Z0-9.]*(:[0-9]{1,5})?/)?[a-z0-9]+((\.|/|__?|-+)[a-z0-9]+)*"
    r"(:[a-zA-Z0-9_][-a-zA-Z0-9_.]{0,127})?(@sha256:[0-9a-f]{64})?$"
)

InboundPolicy = Literal[
    "all-unauthenticated", "all-authenticated", "cluster-unauthenticated", "cluster-authenticated", "deny"
]


def validation_error(rule: str, remedy: str) -> PydanticCustomError:
    """A fault that says which rule a value breaks, and what to do."""
    return PydanticCustomError("fault", "{rule}; {remedy}", {"rule": rule, "remedy": remedy})


def _matching(pattern: str, rule: str, remedy: str, longest: int) -> tuple[Any, ...]:
    compiled = re.compile(pattern)

    def check(value: str) -> str:
        if len(value) > longest or not compiled.fullmatch(value):
            raise validation_error(rule, remedy)
        return value

    schema = {"type": "string", "pattern": pattern, "maxLength": longest}
    return (AfterValidator(check), WithJsonSchema(schema))


def _validated_by(check: Callable[[str], bool], rule: str, remedy: str) -> AfterValidator:
    def judge(value: str) -> str:
        if not check(value):
            raise validation_error(rule, remedy)
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


def is_chart_source(value: str) -> bool:
    """Whether charts can come from there."""
    try:
        return _is_chart_url(value) or Path(expand_path(value)).is_dir()
    except (OSError, ValueError):
        return False


def expand_path(path: str) -> str:
    """A path with the home folder in place of a `~` at its beginning."""
    try:
        return str(Path(path).expanduser()) if path.startswith("~") else path
    except RuntimeError:  # there is no such user
        return path


def _is_regex(value: str) -> bool:
    # Linkerd's proxy has no look-around and no back references.
    if re.search(r"\(\?(?!:|P<)|\\[1-9]", value):
        return False
    try:
        re.compile(value)
    except (re.error, OverflowError, RecursionError):  # the last two by numbers and brackets beyond all measure
        return False
    return True


def _is_manifest_url(value: str) -> bool:
    try:
        parts = urlsplit(value)
        plain = value.isascii() and value.isprintable() and " " not in value
        return plain and parts.scheme in ("https", "http") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


def _is_manifest(value: str) -> bool:
    if re.match(r"[a-z0-9+.-]+:", value, re.IGNORECASE):
        return _is_manifest_url(value)
    try:
        return Path(expand_path(value)).is_file()
    except (OSError, ValueError):
        return False


def _not_reserved(value: str) -> str:
    if value in RESERVED_NAMESPACES:
        raise validation_error(
            "this namespace is Kubernetes' own, and `destroy` would remove it", "choose another name"
        )
    return value


def _not_systems(value: str) -> str:
    return value if value == "default" else _not_reserved(value)


def _not_taken(value: str) -> str:
    if value in (*LINKERD_NAMESPACES, *OTHER_NAMESPACES):
        whose = "Linkerd" if value in LINKERD_NAMESPACES else "this program"
        raise validation_error(f"another part of {whose} goes there", "choose another name")
    return value


Label = Annotated[
    str,
    *_matching(
        _LABEL, "not a name that Kubernetes accepts", "use lower-case letters, digits and dashes, at most 63", 63
    ),
]
SampleNamespace = Annotated[Label, AfterValidator(_not_systems)]
ControlPlaneNamespace = Annotated[Label, AfterValidator(_not_reserved), AfterValidator(_not_taken)]
SecretName = Annotated[
    str,
    *_matching(
        DOMAIN,
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
LabelPattern = Annotated[
    str,
    *_matching(
        rf"^([a-z0-9][-.a-z0-9]*[a-z0-9]/\*|([a-z0-9][-.a-z0-9]*[a-z0-9]/)?{_LABEL_NAME})$",
        "not a key that Kubernetes accepts",
        "write it as in `example.com/name`, or `example.com/*` for all that begin so",
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
    str, *_matching(DOMAIN, "not a DNS domain", "write it as in `cluster.local`: lower case, no dot at its end", 253)
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
Text = Annotated[str, _validated_by(bool, "empty", "write something, or leave the key out"), Field(min_length=1)]
KubeconfigPath = Annotated[
    Text,
    _validated_by(
        lambda value: "\n" not in value,
        "a path was expected, not a kubeconfig itself",
        "store that with `pulumi config set --secret --path kubeconfigs.<cluster>`, and replace what was seen",
    ),
]
ApiServer = Annotated[
    str,
    _validated_by(is_api_server, "not the URL of an API server", "write https://host[:port][/path], and no more"),
    WithJsonSchema({"type": "string", "pattern": "^[hH][tT][tT][pP][sS]://"}),
]
Source = Annotated[
    str,
    _validated_by(
        is_chart_source,
        "neither the URL of charts nor a folder that is there",
        "write https://host[:port][/path], oci://host/path, or the path of a folder with chart archives",
    ),
]
# As a chart writes it into an argument of a container, unquoted.
Url = Annotated[
    Text,
    _validated_by(
        _url("https", "http"), "not a URL that others can use", "write http://host[:port][/path], without a password"
    ),
    WithJsonSchema({"type": "string", "pattern": "^[hH][tT][tT][pP][sS]?://"}),
]
Network = Annotated[
    str,
    _validated_by(
        is_network, "not a network in CIDR form", "write it as in 10.42.0.0/16, with no bit set after the first 16"
    ),
    WithJsonSchema({"type": "string", "pattern": NETWORK}),
]
Address = Annotated[
    str,
    _validated_by(
        is_address,
        "neither an IP address nor a host name that a peer could reach",
        "write it as in 192.0.2.10 or gateway.example.com, without a port",
    ),
]
AddressRange = Annotated[
    str,
    _validated_by(
        is_range,
        "not a range of addresses",
        "write it as in 192.0.2.200-192.0.2.209, or as a network, 192.0.2.208/28",
    ),
]
Image = Annotated[
    str,
    *_matching(
        _IMAGE,
        "not the name of an image",
        "write it as in registry.example.com/team/image:1.0, without https://",
        512,
    ),
]
UserName = Annotated[
    str,
    *_matching(
        r"^[^:\s]+$",
        "not a name that basic auth can carry",
        "write it without colons and spaces, at most 64 long",
        64,
    ),
]
LinkerdVersion = Annotated[
    str,
    *_matching(
        r"^[0-9A-Za-z]([-+.0-9A-Za-z]{0,62}[0-9A-Za-z])?$",
        "not the name of a release",
        'write it in quotes, as in "2.14.10" or "edge-25.4.4"',
        64,
    ),
]
Version = Annotated[
    str,
    *_matching(
        r"^v?(0|[1-9][0-9]*)\.(0|[1-9][0-9]*)\.(0|[1-9][0-9]*)([-+][-+.0-9A-Za-z]+)?$",
        "not the version of a chart",
        'write all three numbers in quotes, as in "1.0.1"',
        64,
    ),
]
Duration = Annotated[
    str,
    *_matching(
        r"^([0-9]+(\.[0-9]+)?(ms|s|m|h))+$",
        "not a duration",
        "write a number with ms, s, m or h, as in 300ms",
        32,
    ),
]
PathRegex = Annotated[
    str,
    _validated_by(
        _is_regex,
        "not a regular expression that Linkerd's proxy could read",
        "write it as in /authors/[^/]*, without look-around and back references",
    ),
    _validated_by(lambda value: value.startswith("/"), "a path begins with a slash", "write it as in /authors/[^/]*"),
]
Manifest = Annotated[
    str,
    _validated_by(
        _is_manifest,
        "neither the URL of a manifest nor a file that is there",
        "write https://host/path.yaml, or the path of a file",
    ),
    AfterValidator(expand_path),
]
Weight = Annotated[int, Field(ge=0, le=1_000_000)]
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
_SECRET_OR_TEXT = WithJsonSchema({"anyOf": [{"type": "string"}, _SECRET]})
# No secret, but it may be among them.
Pem = Annotated[
    str,
    _validated_by(
        lambda value: "-----BEGIN CERTIFICATE-----" in value,
        "not a certificate in PEM form",
        "write it as a block (`|`) that begins with -----BEGIN CERTIFICATE-----",
    ),
    _SECRET_OR_TEXT,
]
# With an account's own credentials in it.
SecretManifest = Annotated[Manifest, _SECRET_OR_TEXT]


def _parse_secret(value: Any) -> Any:
    if not isinstance(value, str):
        raise validation_error("not a text", "store it with `pulumi config set --secret --path …`")
    if not value.strip():
        raise validation_error("empty", "store it with `pulumi config set --secret --path …`, or take the key out")
    return value


# Only from Pulumi's secrets; an editor sees `secure: …`, the program its text.
Secret = Annotated[SecretStr, BeforeValidator(_parse_secret), WithJsonSchema(_SECRET)]
