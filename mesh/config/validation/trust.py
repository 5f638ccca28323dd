"""Rules on trust: lifetimes, cert-manager, and the user's own certificates."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from mesh.config.errors import ELLIPSIS, ValidationErrors, join_names, suggest
from mesh.config.models.trust import IssuerReference, TrustConfig
from mesh.config.resolved import ClusterSettings

_CERT_MANAGER_KINDS = ("Issuer", "ClusterIssuer")


def check_trust(
    trust: TrustConfig, clusters: Sequence[ClusterSettings], names: Sequence[str], errors: ValidationErrors
) -> None:
    """Report settings of trust that cannot work.

    Args:
        trust: the settings.
        clusters: the resolved clusters.
        names: the names of all clusters, including invalid clusters.
        errors: collects validation errors.
    """
    _check_lifetimes(trust, errors)
    for name in trust.issuers:
        if names and name not in names:
            errors.add(("trust", "issuers", name), ELLIPSIS, "no such cluster in `clusters`", suggest(name, names))
    if trust.issuers and trust.cert_manager:
        rule = "trust.certManager creates the issuers"
        errors.add(("trust", "issuers"), ELLIPSIS, rule, "remove issuers or certManager")
    if trust.issuers and trust.anchor is None and not errors.is_invalid("trust", "anchor"):
        rule = "required with issuers, because it signs them"
        errors.add(("trust", "anchor"), None, rule, "add the certificate of their trust anchor")
    missing = [name for name in names if name not in trust.issuers]
    lacks_key = (
        trust.anchor is not None and trust.anchor.key is None and not errors.is_invalid("trust", "anchor", "key")
    )
    if trust.issuers and missing and lacks_key and not errors.is_invalid("trust", "issuers"):
        rule = f"{join_names(missing)} would have no issuer"
        errors.add(
            ("trust", "issuers"), ELLIPSIS, rule, "add an issuer for every cluster, or trust.anchor.key to create them"
        )
    has_issuer_ref = trust.cert_manager is not None and trust.cert_manager.issuer_ref is not None
    is_unclear = errors.is_invalid("trust", "issuers") or errors.is_invalid("trust", "certManager")
    if lacks_key and not trust.issuers and not has_issuer_ref and not is_unclear:
        rule = "required to sign issuers"
        remedy = "add the key as a secret, trust.issuers, or trust.certManager.issuerRef"
        errors.add(("trust", "anchor", "key"), None, rule, remedy)
    if has_issuer_ref and trust.anchor is None and not errors.is_invalid("trust", "anchor"):
        rule = "required with issuerRef, because the proxies trust it"
        errors.add(("trust", "anchor"), None, rule, "add the certificate of the trust anchor that issuerRef signs for")
    if trust.cert_manager is not None and trust.cert_manager.issuer_ref is not None:
        _check_issuer_kind(trust.cert_manager.issuer_ref, errors)
    if trust.anchor is not None:
        _check_certificates(trust, clusters, errors)


def _check_issuer_kind(issuer: IssuerReference, errors: ValidationErrors) -> None:
    if issuer.group == "cert-manager.io" and issuer.kind not in _CERT_MANAGER_KINDS:
        path = ("trust", "certManager", "issuerRef", "kind")
        rule = f"not one of {', '.join(_CERT_MANAGER_KINDS)}, the kinds of cert-manager.io"
        remedy = suggest(issuer.kind, _CERT_MANAGER_KINDS, otherwise="choose one of them, or set the group")
        errors.add(path, issuer.kind, rule, remedy)


def _check_lifetimes(trust: TrustConfig, errors: ValidationErrors) -> None:
    hours = trust.lifetimes
    for key, value in (("issuer", hours.issuer), ("webhooks", hours.webhooks)):
        path = ("trust", "lifetimes", key)
        if value <= hours.renew_before and hours.model_fields_set & {key, "renew_before"}:
            rule = f"not longer than renewBefore ({hours.renew_before}): every `up` would renew it"
            errors.add(path, value, rule, "increase it, or decrease renewBefore")
        if value > hours.anchor:
            rule = f"longer than the anchor that signs it ({hours.anchor})"
            errors.add(path, value, rule, "decrease it, or increase trust.lifetimes.anchor")
    manager = trust.cert_manager
    if manager is not None and manager.duration <= manager.renew_before:
        rule = f"not longer than renewBefore ({manager.renew_before})"
        remedy = "increase it, or decrease renewBefore"
        errors.add(("trust", "certManager", "duration"), manager.duration, rule, remedy)


def _check_certificates(trust: TrustConfig, clusters: Sequence[ClusterSettings], errors: ValidationErrors) -> None:
    # The import is slow because of `cryptography`, and most stacks do not need it.
    from mesh import certificate_validation

    assert trust.anchor is not None
    now = datetime.now(UTC)
    for finding in certificate_validation.check_anchor(trust.anchor.certificate, now=now):
        errors.add(("trust", "anchor", "certificate"), ELLIPSIS, finding.rule, finding.remedy)
    if trust.anchor.key is not None:
        key = trust.anchor.key.get_secret_value()
        for finding in certificate_validation.check_anchor_key(trust.anchor.certificate, key):
            errors.add(("trust", "anchor", "key"), "[secret]", finding.rule, finding.remedy)
    for cluster in clusters:
        issuer = trust.issuers.get(cluster.name)
        if issuer is None:
            continue
        for finding in certificate_validation.check_issuer(
            issuer.certificate,
            issuer.key.get_secret_value(),
            anchor=trust.anchor.certificate,
            common_name=cluster.identity,
            now=now,
        ):
            errors.add(("trust", "issuers", cluster.name), ELLIPSIS, finding.rule, finding.remedy)
