"""Rules on certificates that a stack brings itself: they are checked before anything uses them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from mesh.config.errors import ELLIPSIS, ValidationErrors, join_names, suggestion
from mesh.config.models.stack_file import IssuerReference, TrustConfig
from mesh.config.resolved import ClusterSettings

_KINDS = ("Issuer", "ClusterIssuer")


def check_trust(
    trust: TrustConfig, clusters: Sequence[ClusterSettings], names: Sequence[str], faults: ValidationErrors
) -> None:
    """Check what a stack file says of trust.

    Args:
        trust: what it says.
        clusters: the clusters.
        names: all names of clusters, those with faults included.
        faults: where faults go.
    """
    _check_lifetimes(trust, faults)
    for name in trust.issuers:
        if names and name not in names:
            faults.add(("trust", "issuers", name), ELLIPSIS, "no such cluster in `clusters`", suggestion(name, names))
    if trust.issuers and trust.cert_manager:
        rule = "trust.certManager makes the issuers"
        faults.add(("trust", "issuers"), ELLIPSIS, rule, "take the issuers out, or certManager")
    if trust.issuers and trust.anchor is None and not faults.is_invalid("trust", "anchor"):
        rule = "nothing says who has signed the issuers"
        faults.add(("trust", "anchor"), None, rule, "give the certificate of their trust anchor")
    missing = [name for name in names if name not in trust.issuers]
    unsigned = trust.anchor is not None and trust.anchor.key is None and not faults.is_invalid("trust", "anchor", "key")
    if trust.issuers and missing and unsigned and not faults.is_invalid("trust", "issuers"):
        rule = f"{join_names(missing)} would be without an issuer"
        faults.add(
            ("trust", "issuers"), ELLIPSIS, rule, "give every cluster an issuer, or trust.anchor.key to make them"
        )
    referred = trust.cert_manager is not None and trust.cert_manager.issuer_ref is not None
    others = faults.is_invalid("trust", "issuers") or faults.is_invalid("trust", "certManager")
    if unsigned and not trust.issuers and not referred and not others:
        rule = "nothing can sign issuers without the trust anchor's key"
        remedy = "give the key (as a secret), trust.issuers, or trust.certManager.issuerRef"
        faults.add(("trust", "anchor", "key"), None, rule, remedy)
    if referred and trust.anchor is None and not faults.is_invalid("trust", "anchor"):
        rule = "nothing says what the proxies of the mesh shall trust"
        faults.add(("trust", "anchor"), None, rule, "give the certificate of the trust anchor that issuerRef signs for")
    if trust.cert_manager is not None and trust.cert_manager.issuer_ref is not None:
        _check_issuer_kind(trust.cert_manager.issuer_ref, faults)
    if trust.anchor is not None:
        _check_certificates(trust, clusters, faults)


def _check_issuer_kind(issuer: IssuerReference, faults: ValidationErrors) -> None:
    if issuer.group == "cert-manager.io" and issuer.kind not in _KINDS:
        path = ("trust", "certManager", "issuerRef", "kind")
        rule = f"not one of {', '.join(_KINDS)}, which are those of cert-manager.io"
        faults.add(path, issuer.kind, rule, suggestion(issuer.kind, _KINDS, otherwise="choose one, or set its group"))


def _check_lifetimes(trust: TrustConfig, faults: ValidationErrors) -> None:
    hours = trust.lifetimes
    for key, value in (("issuer", hours.issuer), ("webhooks", hours.webhooks)):
        path = ("trust", "lifetimes", key)
        if value <= hours.renew_before and hours.model_fields_set & {key, "renew_before"}:
            rule = f"not longer than renewBefore ({hours.renew_before}): every `up` would renew it"
            faults.add(path, value, rule, "give it more hours, or renewBefore fewer")
        if value > hours.anchor:
            rule = f"longer than the anchor that signs it ({hours.anchor})"
            faults.add(path, value, rule, "give it fewer hours, or the anchor more")
    manager = trust.cert_manager
    if manager is not None and manager.duration <= manager.renew_before:
        rule = f"not longer than renewBefore ({manager.renew_before})"
        remedy = "give it more hours, or renewBefore fewer"
        faults.add(("trust", "certManager", "duration"), manager.duration, rule, remedy)


def _check_certificates(trust: TrustConfig, clusters: Sequence[ClusterSettings], faults: ValidationErrors) -> None:
    from mesh import certificate_validation  # and cryptography with it, which nobody else needs

    assert trust.anchor is not None
    now = datetime.now(UTC)
    for found in certificate_validation.anchor_findings(trust.anchor.certificate, now=now):
        faults.add(("trust", "anchor", "certificate"), ELLIPSIS, found.rule, found.remedy)
    if trust.anchor.key is not None:
        key = trust.anchor.key.get_secret_value()
        for found in certificate_validation.anchor_key_findings(trust.anchor.certificate, key):
            faults.add(("trust", "anchor", "key"), "[secret]", found.rule, found.remedy)
    for cluster in clusters:
        issuer = trust.issuers.get(cluster.name)
        if issuer is None:
            continue
        for found in certificate_validation.issuer_findings(
            issuer.certificate,
            issuer.key.get_secret_value(),
            anchor=trust.anchor.certificate,
            common_name=cluster.identity,
            now=now,
        ):
            faults.add(("trust", "issuers", cluster.name), ELLIPSIS, found.rule, found.remedy)
