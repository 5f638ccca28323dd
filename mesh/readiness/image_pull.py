"""Images that cannot be pulled: which refusals of a registry are final, and what the user can do.

The formats are those of the kubelet (`pkg/kubelet/images/image_manager.go`), containerd and CRI-O, which quote the
registry's response.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from enum import Enum
from typing import Any

from mesh.kube.json_access import as_text
from mesh.readiness import remedies
from mesh.readiness.cause import Cause
from mesh.readiness.cluster_reader import event_attempt, event_message
from mesh.readiness.quotation import quote, quote_name
from mesh.readiness.scope import Scope

# Kubelets up to 1.34 and later ones, and container runtimes.
IMAGE_REASONS = frozenset(
    {
        "ErrImagePull",
        "ImagePullBackOff",
        "InvalidImageName",
        "ErrImageNeverPull",
        "RegistryUnavailable",
        "SignatureValidationFailed",
        "ImageInspectError",
    }
)
_URL = re.compile(r"https?://[^\s\"]+")
_BACK_OFF = re.compile(r"Back-off pulling image \S+")
# Words of the kubelet and the container runtime before the registry's response.
_PREFIXES = re.compile(
    "^(?:"
    + "|".join(
        (
            r"Back-off pulling image \S+: ",
            r"(?:ErrImagePull|RegistryUnavailable): ",
            r"Failed to pull image \S+: ",
            r"rpc error: code = \w+ desc = ",
            r"failed to pull and unpack image \S+: ",
            r"failed to resolve reference \S+: ",
            r"unable to pull image or OCI artifact: ",
            r"pull image err: ",
            r"initializing source docker://\S+: ",
            r"Error response from daemon: ",
        )
    )
    + ")+"
)


class PullError(Enum):
    """A kind of error of an image pull; the value is part of a cause's identity."""

    INVALID_NAME = "invalid image name"
    RATE_LIMIT = "rate limit"
    UNREACHABLE = "registry unreachable"
    CERTIFICATE = "certificate of the registry"
    UNAUTHORIZED = "unauthorized"
    NOT_FOUND = "image not found"
    PLATFORM = "no image for the node's platform"
    SIGNATURE = "signature"
    NODE = "storage of the node"
    OTHER = "other"


# Without a change of the stack file, the registry or its credentials, these errors remain.
_PERMANENT = frozenset(
    {
        PullError.INVALID_NAME,
        PullError.UNAUTHORIZED,
        PullError.NOT_FOUND,
        PullError.PLATFORM,
        PullError.SIGNATURE,
    }
)
# In this order: a message can contain several errors, of several mirrors, and one that may resolve itself decides.
_PATTERNS = (
    (PullError.RATE_LIMIT, r"toomanyrequests|too many requests|\b429\b|pull qps exceeded|rate limit"),
    (
        PullError.UNREACHABLE,
        r"no such host|server misbehaving|temporary failure|name or service not known|timeout|timed out"
        r"|deadline exceeded|connection refused|connection reset|no route to host|network is unreachable|broken pipe"
        r"|\beof\b|proxyconnect|registry is unavailable|\b50[0-9] |internal server error|bad gateway"
        r"|service unavailable|server gave http response to https client",
    ),
    (PullError.CERTIFICATE, r"x509|certificate|tls: "),
    (
        PullError.NODE,
        r"no space left on device|permission denied|read-only file system|input/output error|failed to extract layer"
        r"|failed to prepare extraction|content digest|executable file not found",
    ),
    (PullError.SIGNATURE, r"signature validation failed|signature was required|source image rejected"),
    (
        PullError.PLATFORM,
        r"no match(?:ing manifest)? for (?:platform|[a-z0-9/]+)|no image found in (?:image index|manifest list)",
    ),
    (
        PullError.UNAUTHORIZED,
        r"unauthorized|unauthenticated|denied|authorization failed|authentication required|forbidden|\b40[13]\b"
        r"|no basic auth credentials|insufficient_scope|requires? authentication|failed to authorize",
    ),
    (
        PullError.NOT_FOUND,
        r"manifest unknown|name unknown|not found|not known to registry|does not exist|\b404\b|no such image",
    ),
    (
        PullError.INVALID_NAME,
        r"invalid reference format|couldn't parse image|failed to apply default image tag|invalid image name",
    ),
)


def classify_pull_error(message: str, image: str) -> PullError:
    """Return the kind of error in a message of the kubelet or a registry.

    Args:
        message: the message.
        image: the image, whose name could contain the words of an error.
    """
    text = message.replace(image, " ") if image else message
    text = _URL.sub(" ", text).lower()
    return next((kind for kind, pattern in _PATTERNS if re.search(pattern, text)), PullError.OTHER)


def find_image_cause(
    scope: Scope,
    subject: str,
    container: str,
    image: str,
    waiting: Mapping[str, Any],
    warnings: Sequence[Mapping[str, Any]],
) -> Cause:
    """Return the cause for a container whose image cannot be pulled.

    Args:
        scope: the object that is not ready.
        subject: the pod and its container, for the message.
        container: name of the container.
        image: its image.
        waiting: state of the container.
        warnings: warning events of the container, the latest first.
    """
    reason, message = as_text(waiting.get("reason")), as_text(waiting.get("message"))
    event = next((each for each in warnings if _is_pull_failure(each)), None)
    if event is not None and not _has_answer(message):
        message = event_message(event)
    error = PullError.INVALID_NAME if reason == "InvalidImageName" else classify_pull_error(message, image)
    if reason == "ErrImageNeverPull":
        error = PullError.OTHER
    permanent = scope.identify(container, error.value, quote_name(image)) if error in _PERMANENT else None
    return Cause(
        subject=subject,
        reason=reason,
        message=_format_message(message, image),
        remedy=_find_remedy(error, reason, scope, container),
        permanent=permanent,
        attempt=event_attempt(event) if event is not None else "",
    )


def _is_pull_failure(event: Mapping[str, Any]) -> bool:
    """Return whether an event has the registry's response; others are `Error: ErrImagePull` only."""
    message = event_message(event)
    return event.get("reason") in ("Failed", "InspectFailed") and not message.startswith("Error: ")


def _has_answer(message: str) -> bool:
    return bool(message) and _BACK_OFF.fullmatch(message.strip()) is None


def _format_message(message: str, image: str) -> str:
    """Return the registry's response with the image once, in place of once per program that handled the error."""
    name = quote_name(image)
    if not _has_answer(message):
        return f"image {name}: no reason given"
    answer = _PREFIXES.sub("", message.strip())
    return quote(answer if name and name in answer else f"image {name}: {answer}")


def _find_remedy(error: PullError, reason: str, scope: Scope, container: str) -> str:
    settings = scope.settings
    if reason == "ErrImageNeverPull":
        return "load the image on the node, or change the container's imagePullPolicy"
    if error is PullError.UNAUTHORIZED:
        return remedies.set_registry_credentials(settings, container)
    registry = remedies.registry_source(settings, container)
    if error is PullError.RATE_LIMIT:
        return (
            "wait, because this may resolve itself; or set `imagePullSecret` to an account of the registry, or "
            f"{registry} to a mirror"
        )
    if error is PullError.UNREACHABLE:
        return (
            "wait, because this may resolve itself; or check DNS, proxy and firewall of the nodes, or set "
            f"{registry} to a registry that they reach"
        )
    if error is PullError.CERTIFICATE:
        return "add the registry's CA to the nodes' container runtime, or correct the nodes' clocks"
    if error is PullError.NODE:
        return "repair the storage or the container runtime of the pod's node"
    if error is PullError.PLATFORM:
        return f"use nodes of another architecture, or set {registry} to one with images for it"
    if error is PullError.SIGNATURE:
        return f"sign the image, or set {registry} to one with signed images"
    if error is PullError.INVALID_NAME:
        return f"correct {remedies.image_source(settings, container)}"
    if error is PullError.NOT_FOUND:
        return remedies.correct_image(settings, container)
    return f"check the image: {remedies.image_source(settings, container)}"
