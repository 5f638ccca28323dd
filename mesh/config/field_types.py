"""Constrained types of the stack file's values, each with its rule and remedy for error messages."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, WithJsonSchema

from mesh import durations
from mesh.config.memory import MEMORY
from mesh.config.network_types import DOMAIN, NETWORK, is_address, is_network, is_range
from mesh.config.value_checks import (
    build_error,
    expand_path,
    is_api_server,
    is_chart_source,
    is_manifest,
    is_port_range,
    is_regex,
    make_url_check,
    match_pattern,
    validate_with,
)

# Helm limits release names to 53 characters, and `link-` takes 5. Linkerd's limit is 49 (`probe-gateway-<target>`).
MAX_TARGET_NAME_LENGTH = 48

_LABEL = r"^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$"
# Namespaces of Linkerd's extensions and its CNI plugin.
LINKERD_NAMESPACES = ("linkerd-multicluster", "linkerd-cni", "linkerd-viz", "linkerd-jaeger", "linkerd-smi")
# Namespaces of the add-ons.
ADD_ON_NAMESPACES = ("metallb-system", "ingress-nginx")
# Every cluster has these namespaces, and `destroy` would delete them with the stack. Only samples may use `default`.
RESERVED_NAMESPACES = ("default", "kube-system", "kube-public", "kube-node-lease")
_LABEL_NAME = r"[a-zA-Z0-9]([-_.a-zA-Z0-9]{0,61}[a-zA-Z0-9])?"
_REGISTRY = r"^[a-zA-Z0-9]([-a-zA-Z0-9.]*[a-zA-Z0-9])?(:[0-9]{1,5})?(/[a-z0-9]+([._-]+[a-z0-9]+)*)*$"
# Host and port of the registry, path, tag, digest.
_IMAGE = (
    r"^([a-zA-Z0-9][-a-zA-Z0-9.]*(:[0-9]{1,5})?/)?[a-z0-9]+((\.|/|__?|-+)[a-z0-9]+)*"
    r"(:[a-zA-Z0-9_][-a-zA-Z0-9_.]{0,127})?(@sha256:[0-9a-f]{64})?$"
)

InboundPolicy = Literal[
    "all-unauthenticated", "all-authenticated", "cluster-unauthenticated", "cluster-authenticated", "deny"
]


def _validate_not_reserved(value: str) -> str:
    if value in RESERVED_NAMESPACES:
        raise build_error("reserved by Kubernetes, and `destroy` would delete it", "choose another name")
    return value


def _validate_sample_namespace(value: str) -> str:
    return value if value == "default" else _validate_not_reserved(value)


def _validate_not_used(value: str) -> str:
    if value in (*LINKERD_NAMESPACES, *ADD_ON_NAMESPACES):
        owner = "an extension of Linkerd" if value in LINKERD_NAMESPACES else "an add-on of this program"
        raise build_error(f"namespace of {owner}", "choose another name")
    return value


Text = Annotated[str, validate_with(bool, "empty", "write a value, or remove the key"), Field(min_length=1)]
Label = Annotated[
    str,
    *match_pattern(
        _LABEL,
        "not a valid Kubernetes name",
        "use lower-case letters, digits and dashes, at most 63 characters",
        63,
    ),
]
SampleNamespace = Annotated[Label, AfterValidator(_validate_sample_namespace)]
ControlPlaneNamespace = Annotated[Label, AfterValidator(_validate_not_reserved), AfterValidator(_validate_not_used)]
SecretName = Annotated[
    str,
    *match_pattern(
        DOMAIN,
        "not a valid name of a Secret",
        "use lower-case letters, digits, dashes and dots, at most 253 characters",
        253,
    ),
]
LabelKey = Annotated[
    str,
    *match_pattern(
        rf"^([a-z0-9][-.a-z0-9]*[a-z0-9]/)?{_LABEL_NAME}$",
        "not a valid key of a label or annotation",
        "write it as in `example.com/name` or `name`",
        253 + 64,
    ),
]
LabelPattern = Annotated[
    str,
    *match_pattern(
        rf"^([a-z0-9][-.a-z0-9]*[a-z0-9]/\*|([a-z0-9][-.a-z0-9]*[a-z0-9]/)?{_LABEL_NAME})$",
        "not a valid key of a label or annotation",
        "write it as in `example.com/name`, or `example.com/*` for all keys with this prefix",
        253 + 64,
    ),
]
LabelValue = Annotated[
    str,
    *match_pattern(
        rf"^({_LABEL_NAME})?$",
        "not a valid value of a label",
        "use letters, digits, dashes, dots and underscores, at most 63 characters",
        63,
    ),
]
ClusterName = Annotated[
    str,
    *match_pattern(
        _LABEL,
        "not a valid cluster name: lower-case letters, digits and dashes, at most 63 characters",
        "rename the cluster, and set `context` to the old name",
        63,
    ),
]
Domain = Annotated[
    str,
    *match_pattern(
        DOMAIN, "not a DNS domain", "write it as in `cluster.local`, in lower case and without a dot at the end", 253
    ),
]
# The patterns of Linkerd's CRDs, but a name without a dot would match no client.
MeshIdentity = Annotated[
    str,
    *match_pattern(
        r"^(\*|(\*|[a-z0-9]([-a-z0-9]*[a-z0-9])?)(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)+)$",
        "not an identity of a mesh",
        "write it as in `web.emojivoto.serviceaccount.identity.linkerd.cluster.local`, `*.example.com` or `*`",
        253,
    ),
]
# A service account of a namespace, all of a namespace, or all of the mesh.
Client = Annotated[
    str,
    *match_pattern(
        r"^(\*|[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?/(\*|[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*))$",
        "neither a service account nor a namespace",
        "write it as in `shop/cart`, `shop/*` for all of a namespace, or `*` for all meshed clients",
        317,
    ),
]
# A Service's name is a DNS label that begins with a letter.
ServiceKey = Annotated[
    str,
    *match_pattern(
        r"^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?/[a-z]([-a-z0-9]{0,61}[a-z0-9])?$",
        "not a namespace and a Service",
        "write both names with a slash between them, as in `shop/cart`",
        127,
    ),
]
DocumentPath = Annotated[
    Text,
    validate_with(
        lambda value: "\n" not in value and "\0" not in value,
        "must be a path, not the content of a file",
        "write the path of a file, relative to the stack file",
    ),
]
Registry = Annotated[
    str,
    *match_pattern(
        _REGISTRY,
        "not a registry with a path",
        "write it as in `registry.example.com/linkerd`, without https://",
        253,
    ),
]
ClusterUid = Annotated[
    str,
    *match_pattern(
        r"^[0-9a-f]{8}(-[0-9a-f]{4}){0,3}(-[0-9a-f]{12})?$",
        "not the beginning of a cluster's UID",
        "write the first 8 characters, in quotes, as the output `clusters` and the message about the cluster show them",
        36,
    ),
]
KubeconfigPath = Annotated[
    Text,
    validate_with(
        lambda value: "\n" not in value,
        "must be a path, not the content of a kubeconfig",
        "store the content with `pulumi config set --secret --path kubeconfigs.<cluster>`, and replace its credentials",
    ),
]
ApiServer = Annotated[
    str,
    validate_with(is_api_server, "not the URL of an API server", "write https://host[:port][/path]"),
    WithJsonSchema({"type": "string", "pattern": "^[hH][tT][tT][pP][sS]://"}),
]
# The value of `certificateAuthority` for an API server whose certificate a public CA has signed.
SYSTEM_TRUST = "system"
CertificateAuthority = Annotated[
    str,
    validate_with(
        lambda value: value == SYSTEM_TRUST or "-----BEGIN CERTIFICATE-----" in value,
        f"neither a certificate in PEM form nor `{SYSTEM_TRUST}`",
        f"write a block (`|`) that begins with -----BEGIN CERTIFICATE-----, or `{SYSTEM_TRUST}` for public CAs",
    ),
]
ServerName = Annotated[
    str,
    *match_pattern(
        DOMAIN,
        "not a host name",
        "write it as in `kubernetes.default.svc`, in lower case and without a dot at the end",
        253,
    ),
]
Source = Annotated[
    str,
    validate_with(
        is_chart_source,
        "neither the URL of a chart source nor an existing folder",
        "write https://host[:port][/path], oci://host/path, or the path of a folder with chart archives",
    ),
]
# A chart writes the URL into an argument of a container, without quotes.
Url = Annotated[
    Text,
    validate_with(
        make_url_check("https", "http"), "not a plain HTTP URL", "write http://host[:port][/path], without a password"
    ),
    WithJsonSchema({"type": "string", "pattern": "^[hH][tT][tT][pP][sS]?://"}),
]
Network = Annotated[
    str,
    validate_with(is_network, "not a network in CIDR form", "write it as in 10.42.0.0/16, with no host bit set"),
    WithJsonSchema({"type": "string", "pattern": NETWORK}),
]
Address = Annotated[
    str,
    validate_with(
        is_address,
        "neither an IP address nor a host name that another cluster can reach",
        "write it as in 192.0.2.10 or gateway.example.com, without a port",
    ),
]
AddressRange = Annotated[
    str,
    validate_with(
        is_range,
        "not an address range",
        "write it as in 192.0.2.200-192.0.2.209 or 192.0.2.208/28",
    ),
]
Image = Annotated[
    str,
    *match_pattern(
        _IMAGE,
        "not an image name",
        "write it as in registry.example.com/team/image:1.0, without https://",
        512,
    ),
]
UserName = Annotated[
    str,
    *match_pattern(
        r"^[^:\s]+$",
        "not a valid user name for basic auth",
        "use at most 64 characters, without colons and spaces",
        64,
    ),
]
LinkerdVersion = Annotated[
    str,
    *match_pattern(
        r"^[0-9A-Za-z]([-+.0-9A-Za-z]{0,62}[0-9A-Za-z])?$",
        "not a valid name of a Linkerd release",
        'write it in quotes, as in "2.14.10" or "edge-25.4.4"',
        64,
    ),
]
Version = Annotated[
    str,
    *match_pattern(
        r"^v?(0|[1-9][0-9]*)\.(0|[1-9][0-9]*)\.(0|[1-9][0-9]*)([-+][-+.0-9A-Za-z]+)?$",
        "not a chart version",
        'write all three numbers in quotes, as in "1.0.1"',
        64,
    ),
]
Duration = Annotated[
    str,
    *match_pattern(
        f"^{durations.PATTERN}$",
        "not a duration",
        durations.REMEDY,
        durations.MAX_LENGTH,
    ),
]
PathRegex = Annotated[
    str,
    validate_with(
        is_regex,
        "not a regular expression that Linkerd's proxy supports",
        "write it as in /authors/[^/]*, without look-around and back references",
    ),
    validate_with(lambda value: value.startswith("/"), "must begin with a slash", "write it as in /authors/[^/]*"),
]
Manifest = Annotated[
    str,
    validate_with(
        is_manifest,
        "neither the URL of a manifest nor an existing file",
        "write https://host/path.yaml, or the path of a file",
    ),
    AfterValidator(expand_path),
]
Memory = Annotated[
    str,
    *match_pattern(
        MEMORY,
        "not an amount of memory",
        "write a whole number with the unit Mi or Gi, as in 512Mi",
        16,
    ),
]
Weight = Annotated[int, Field(ge=0, le=1_000_000)]
Port = Annotated[int, Field(ge=1, le=65535)]
PortRange = Annotated[
    int | str,
    validate_with(
        is_port_range,
        "neither a port nor a range of ports",
        "write a port from 1 to 65535, or a range as in 3000-3010",
    ),
    WithJsonSchema({"anyOf": [{"type": "integer", "minimum": 1, "maximum": 65535}, {"type": "string"}]}),
]
NodePort = Annotated[int, Field(ge=1, le=65535)]
Hours = Annotated[int, Field(ge=1, le=100 * 8784)]
_SECRET: dict[str, Any] = {
    "type": "object",
    "description": "A secret, written by `pulumi config set --secret --path …`.",
    "properties": {"secure": {"type": "string"}},
    "required": ["secure"],
    "additionalProperties": False,
}
_SECRET_OR_TEXT = WithJsonSchema({"anyOf": [{"type": "string"}, _SECRET]})
# A certificate is not secret, but it may be stored as a secret together with its key.
Pem = Annotated[
    str,
    validate_with(
        lambda value: "-----BEGIN CERTIFICATE-----" in value,
        "not a certificate in PEM form",
        "write it as a block (`|`) that begins with -----BEGIN CERTIFICATE-----",
    ),
    _SECRET_OR_TEXT,
]
# The URL may contain credentials of an account.
SecretManifest = Annotated[Manifest, _SECRET_OR_TEXT]


def _parse_secret(value: Any) -> Any:
    if not isinstance(value, str):
        raise build_error("must be text", "store it with `pulumi config set --secret --path …`")
    if not value.strip():
        raise build_error("empty", "store it with `pulumi config set --secret --path …`, or remove the key")
    return value


# Accepts only Pulumi secrets: `secure: …` in the file, text in the program.
Secret = Annotated[SecretStr, BeforeValidator(_parse_secret), WithJsonSchema(_SECRET)]
