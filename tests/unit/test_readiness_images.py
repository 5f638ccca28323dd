"""Images that cannot be pulled: messages of container runtimes and registries."""

from __future__ import annotations

import pytest

from mesh.readiness.diagnosis import Diagnosis, RemedySettings, format_short
from mesh.readiness.image_pull import PullError, classify_pull_error
from tests.helpers.unready_objects import IMAGE, diagnose_pod, pod, pod_event, waiting

CONTAINERD = (
    f'rpc error: code = Unknown desc = failed to pull and unpack image "{IMAGE}": '
    f'failed to resolve reference "{IMAGE}": '
)
NOT_FOUND = CONTAINERD.replace("Unknown", "NotFound") + f"{IMAGE}: not found"
UNAUTHORIZED = (
    f"{CONTAINERD}failed to authorize: failed to fetch anonymous token: unexpected status from GET request to "
    "https://cr.l5d.io/token?scope=repository%3Alinkerd%2Fpolicy-controller%3Apull&service=cr.l5d.io: 401 Unauthorized"
)
CRI_O = f"rpc error: code = Unknown desc = initializing source docker://{IMAGE}: "
REPOSITORY = IMAGE.rpartition(":")[0]


def diagnose_waiting(reason: str, message: str, *events: object, **settings: str) -> Diagnosis:
    remedy_settings = {
        "cluster": "west",
        "owner": "linkerd-control-plane",
        "chart": "linkerd-control-plane",
        **settings,
    }
    return diagnose_pod(pod(waiting(reason, message)), *events, settings=RemedySettings(**remedy_settings))


@pytest.mark.parametrize(
    ("message", "error"),
    [
        (NOT_FOUND, PullError.NOT_FOUND),
        (f"{CRI_O}reading manifest x in {REPOSITORY}: manifest unknown", PullError.NOT_FOUND),
        (f"Error response from daemon: manifest for {IMAGE} not found: manifest unknown", PullError.NOT_FOUND),
        (f"{CRI_O}reading manifest x in quay.io/a/b: name unknown: repository not found", PullError.NOT_FOUND),
        (UNAUTHORIZED, PullError.UNAUTHORIZED),
        (
            f"{CONTAINERD}pull access denied, repository does not exist or may require authorization: server message: "
            "insufficient_scope: authorization failed",
            PullError.UNAUTHORIZED,
        ),
        (
            f"{CONTAINERD}pull access denied, repository does not exist or may require authorization: authorization "
            "failed: no basic auth credentials",
            PullError.UNAUTHORIZED,
        ),
        (
            f"{CONTAINERD}failed to authorize: failed to fetch oauth token: unexpected status: 403 Forbidden",
            PullError.UNAUTHORIZED,
        ),
        (
            f"{CRI_O}reading manifest x in quay.io/a/b: unauthorized: access to the resource is not authorized",
            PullError.UNAUTHORIZED,
        ),
        (f"{CRI_O}denied: Your authorization token has expired. Reauthenticate.", PullError.UNAUTHORIZED),
        (
            f"{CONTAINERD}unexpected status code https://registry-1.docker.io/v2/: 429 Too Many Requests - "
            "Server message: toomanyrequests: You have reached your unauthenticated pull rate limit.",
            PullError.RATE_LIMIT,
        ),
        ("pull QPS exceeded", PullError.RATE_LIMIT),
        (
            f'{CONTAINERD}failed to do request: Head "https://cr.l5d.io/v2/manifests/x": dial '
            "tcp: lookup cr.l5d.io on 10.96.0.10:53: no such host",
            PullError.UNREACHABLE,
        ),
        (
            f'{CONTAINERD}failed to do request: Head "https://cr.l5d.io/v2/": dial tcp 10.0.0.1:443: i/o timeout',
            PullError.UNREACHABLE,
        ),
        (
            f"{CONTAINERD}failed to authorize: failed to fetch oauth token: Post "
            '"https://auth.docker.io/token": net/http: TLS handshake timeout',
            PullError.UNREACHABLE,
        ),
        (
            f"{CONTAINERD}unexpected status from HEAD request to https://cr.l5d.io/v2/a: 503 Service Unavailable",
            PullError.UNREACHABLE,
        ),
        (
            f"{CRI_O}pinging container registry cr.l5d.io: received unexpected HTTP status: 502 Bad Gateway",
            PullError.UNREACHABLE,
        ),
        (
            f'{CONTAINERD}failed to do request: Head "https://registry.lan/v2/": tls: failed to verify certificate: '
            "x509: certificate signed by unknown authority",
            PullError.CERTIFICATE,
        ),
        (
            f'rpc error: code = NotFound desc = failed to pull and unpack image "{IMAGE}": no match for platform in '
            "manifest: not found",
            PullError.PLATFORM,
        ),
        (
            f"{CRI_O}choosing image instance: no image found in image index for architecture arm64, OS linux",
            PullError.PLATFORM,
        ),
        (
            f'rpc error: code = Unknown desc = failed to pull and unpack image "{IMAGE}": failed to extract layer '
            "sha256:12: write /var/lib/containerd/x: no space left on device: unknown",
            PullError.NODE,
        ),
        (
            'Failed to apply default image tag "cr.l5d.io/UPPER": couldn\'t parse image name: invalid reference format',
            None,
        ),
    ],
)
def test_error_of_registry_is_classified(message: str, error: PullError | None) -> None:
    assert classify_pull_error(message, IMAGE) is (error or PullError.INVALID_NAME)


def test_words_in_image_name_are_no_error() -> None:
    image = "cr.l5d.io/denied/unauthorized:not-found"

    assert classify_pull_error(f'failed to resolve reference "{image}": i/o timeout', image) is PullError.UNREACHABLE
    assert classify_pull_error(f'failed to resolve reference "{image}": unknown', image) is PullError.OTHER


def test_missing_image_is_permanent_with_remedy() -> None:
    diagnosis = diagnose_waiting("ErrImagePull", NOT_FOUND)

    [cause] = diagnosis.causes
    assert format_short(diagnosis) == (
        "Deployment linkerd-destination (1 of 1 pod not ready: container policy: ErrImagePull)"
    )
    assert cause.message == f"{IMAGE}: not found"
    assert cause.permanent == f"Deployment/linkerd/linkerd-destination/policy/image not found/{IMAGE}"
    assert cause.remedy == "correct `linkerd.registry` and `linkerd.version`, or push the image to this registry"


def test_refused_credentials_are_permanent_with_remedy() -> None:
    [cause] = diagnose_waiting(
        "ImagePullBackOff", f'Back-off pulling image "{IMAGE}": ErrImagePull: {UNAUTHORIZED}'
    ).causes

    assert "401 Unauthorized" in cause.message
    assert cause.permanent is not None
    assert "imagePullSecret" in str(cause.remedy)


@pytest.mark.parametrize("answer", ["dial tcp 10.0.0.1:443: i/o timeout", "429 Too Many Requests"])
def test_failure_of_registry_may_resolve_itself(answer: str) -> None:
    [cause] = diagnose_waiting("ErrImagePull", CONTAINERD + answer).causes

    assert cause.permanent is None
    assert "may resolve itself" in str(cause.remedy)


def test_identity_is_equal_for_error_and_back_off() -> None:
    back_off = f'Back-off pulling image "{IMAGE}"'
    failed = pod_event("Failed", f'Failed to pull image "{IMAGE}": {NOT_FOUND}', "policy", minute=3)
    later = pod_event("Failed", "Error: ImagePullBackOff", "policy", minute=4)
    identities = {
        diagnose_waiting("ErrImagePull", NOT_FOUND).causes[0].permanent,
        diagnose_waiting("ImagePullBackOff", f"{back_off}: ErrImagePull: {NOT_FOUND}").causes[0].permanent,
        diagnose_waiting("ImagePullBackOff", back_off, failed, later).causes[0].permanent,
    }

    assert len(identities) == 1
    assert None not in identities


def test_identity_is_equal_for_replaced_pod() -> None:
    causes = [
        diagnose_pod(pod(waiting("ErrImagePull", NOT_FOUND), name=name)).causes[0]
        for name in ("linkerd-destination-7d9c8f5b6d-x2x4z", "linkerd-destination-7d9c8f5b6d-9q8vw")
    ]

    assert causes[0].permanent == causes[1].permanent


def test_attempt_changes_with_each_pull() -> None:
    message = f'Failed to pull image "{IMAGE}": {NOT_FOUND}'
    first, second = (
        diagnose_waiting("ErrImagePull", NOT_FOUND, pod_event("Failed", message, "policy", minute=minute)).causes[0]
        for minute in (1, 2)
    )

    assert first.attempt and second.attempt
    assert first.attempt != second.attempt


def test_back_off_without_event_has_no_invented_reason() -> None:
    [cause] = diagnose_waiting("ImagePullBackOff", f'Back-off pulling image "{IMAGE}"').causes

    assert cause.message == f"image {IMAGE}: no reason given"
    assert cause.permanent is None


def test_invalid_image_name_is_permanent() -> None:
    message = (
        f'Failed to apply default image tag "{IMAGE}": couldn\'t parse image name "{IMAGE}": invalid reference format'
    )
    [cause] = diagnose_waiting("InvalidImageName", message).causes

    assert cause.permanent is not None
    assert "invalid reference format" in cause.message


def test_image_that_is_never_pulled_may_be_loaded() -> None:
    [cause] = diagnose_waiting(
        "ErrImageNeverPull", f'Container image "{IMAGE}" is not present with pull policy of Never'
    ).causes

    assert cause.permanent is None
    assert "load the image" in str(cause.remedy)


@pytest.mark.parametrize(
    ("settings", "remedy"),
    [
        ({"owner": "podinfo", "chart": ""}, "`workloads[].podinfo.images.policy`"),
        ({"owner": "metallb", "chart": "metallb"}, "`extensions.metallb.values`"),
        ({"owner": "cilium", "chart": "cilium"}, "`clusters.west.cilium.values`"),
    ],
)
def test_remedy_names_the_setting_of_the_owner(settings: dict[str, str], remedy: str) -> None:
    assert remedy in str(diagnose_waiting("ErrImagePull", NOT_FOUND, **settings).causes[0].remedy)
