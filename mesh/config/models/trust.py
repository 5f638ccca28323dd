"""Models of the mesh's certificates in the stack file."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from mesh.config.base_model import StrictModel, accept_switch
from mesh.config.field_types import Hours, Pem, Secret, Text


class AnchorConfig(StrictModel):
    """Trust anchor of your own."""

    certificate: Pem
    """Certificates in PEM form. All are trusted, and the first one signs."""
    key: Secret | None = None
    """Private key of the first certificate, in PEM form. Required without `issuers` and `certManager.issuerRef`."""


class IssuerConfig(StrictModel):
    """Issuer of your own for one cluster."""

    certificate: Pem
    """Certificates in PEM form: the issuer, then the intermediates up to the trust anchor."""
    key: Secret
    """Private key of the issuer, in PEM form."""


class IssuerReference(StrictModel):
    """Existing cert-manager issuer in each cluster, which signs for your trust anchor."""

    name: Text
    """Name of the issuer."""
    kind: Annotated[Text, Field(examples=["ClusterIssuer", "Issuer"])] = "ClusterIssuer"
    """Kind of the issuer: ClusterIssuer, Issuer in Linkerd's namespace, or a kind of another API group."""
    group: Text = "cert-manager.io"
    """API group of the kind, for external issuers."""


class CertManagerConfig(StrictModel):
    """Renewal of the issuers by cert-manager, which must already run in each cluster."""

    issuer_ref: IssuerReference | None = None
    """Existing cert-manager issuer that signs; omitted: the stack creates an Issuer from the trust anchor's key."""
    duration: Hours = 48
    """Validity of an issuer, in hours."""
    renew_before: Hours = 25
    """Time before the expiry at which cert-manager renews an issuer, in hours."""


class LifetimesConfig(StrictModel):
    """Validity of the certificates that the program creates, in hours."""

    anchor: Hours = 10 * 8760
    """Validity of the trust anchor, in hours. The program never renews it by itself."""
    issuer: Hours = 8760
    """Validity of each cluster's issuer, in hours."""
    webhooks: Hours = 8760
    """Validity of the webhooks' certificates, in hours. Their CA is valid as long as the trust anchor."""
    renew_before: Hours = 60 * 24
    """Hours before the expiry of an issuer or a webhook certificate. An `up` within this period renews it."""


class TrustConfig(StrictModel):
    """Certificates of the mesh; omitted: the program creates all of them."""

    anchor: AnchorConfig | None = None
    """Trust anchor of your own; omitted: the program creates one."""
    issuers: dict[str, IssuerConfig] = {}
    """Issuers of your own, by cluster; omitted: the program or cert-manager creates them."""
    cert_manager: Annotated[CertManagerConfig | None, *accept_switch(CertManagerConfig | None)] = None
    """Renewal of the issuers by cert-manager. `true` stands for its defaults; omitted: the program renews them."""
    lifetimes: LifetimesConfig = LifetimesConfig()
    """Validity of the certificates that the program creates, in hours."""
