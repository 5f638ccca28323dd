"""A fake cert-manager, which signs Certificates with the CA of their Issuer."""

from __future__ import annotations

import base64
import threading
from datetime import UTC, datetime, timedelta
from types import TracebackType
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID
from kubernetes import client
from kubernetes.client import ApiException

from tests.helpers.certificates import IssuedCertificate, private_key_pem

GROUP, VERSION = "cert-manager.io", "v1"
EXTENDED_KEY_USAGES = {"server auth": ExtendedKeyUsageOID.SERVER_AUTH, "client auth": ExtendedKeyUsageOID.CLIENT_AUTH}


class FakeCertManager:
    """Context manager that signs each new Certificate of one cluster.

    Args:
        api: client of the cluster.
    """

    def __init__(self, api: Any) -> None:
        self._core = client.CoreV1Api(api)
        self._objects = client.CustomObjectsApi(api)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> FakeCertManager:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join()

    def renew(self) -> int:
        """Sign all Certificates again, and return their number."""
        certificates = self._certificates()
        for certificate in certificates:
            self._sign(certificate)
        return len(certificates)

    def _watch(self) -> None:
        while not self._ended.wait(0.3):
            try:
                for certificate in self._certificates():
                    if not certificate.get("status"):
                        self._sign(certificate)
            except ApiException as error:
                # The Issuer or its Secret does not exist yet, or the objects have just been deleted.
                if error.status not in (404, 409):
                    raise

    def _certificates(self) -> list[dict[str, Any]]:
        items = self._objects.list_cluster_custom_object(GROUP, VERSION, "certificates")["items"]
        return [item for item in items if not item["metadata"].get("deletionTimestamp")]

    def _sign(self, certificate: dict[str, Any]) -> None:
        spec, metadata = certificate["spec"], certificate["metadata"]
        namespace = metadata["namespace"]
        issuer = self._objects.get_namespaced_custom_object(
            GROUP, VERSION, namespace, "issuers", spec["issuerRef"]["name"]
        )
        authority = self._core.read_namespaced_secret(issuer["spec"]["ca"]["secretName"], namespace).data
        now = datetime.now(UTC)
        issued = IssuedCertificate(
            name=spec["commonName"],
            dns_name=spec["dnsNames"][0],
            signer=IssuedCertificate(key=_load_key(authority)),
            # Go compares issuer and subject byte by byte.
            issuer_name=x509.load_pem_x509_certificate(base64.b64decode(authority["tls.crt"])).subject,
            begin=now,
            end=now + timedelta(hours=int(spec["duration"].partition("h")[0])),
            ca=spec["isCA"],
            cert_sign="cert sign" in spec["usages"],
            purposes=tuple(EXTENDED_KEY_USAGES[usage] for usage in spec["usages"] if usage in EXTENDED_KEY_USAGES),
        )
        is_pkcs1 = spec["privateKey"].get("encoding", "PKCS1") == "PKCS1"
        private_format = (
            serialization.PrivateFormat.TraditionalOpenSSL if is_pkcs1 else serialization.PrivateFormat.PKCS8
        )
        content = {
            "tls.crt": _to_base64(issued.pem),
            "tls.key": _to_base64(private_key_pem(issued.key, private_format)),
            "ca.crt": authority["tls.crt"],
        }
        self._write(spec["secretName"], namespace, content)
        ready = {"type": "Ready", "status": "True", "reason": "Ready", "lastTransitionTime": now.isoformat()}
        status = {"conditions": [ready], "notAfter": issued.end.isoformat(timespec="seconds")}
        self._objects.patch_namespaced_custom_object_status(
            GROUP, VERSION, namespace, "certificates", metadata["name"], {"status": status}
        )

    def _write(self, name: str, namespace: str, content: dict[str, str]) -> None:
        body = {"metadata": {"name": name}, "type": "kubernetes.io/tls", "data": content}
        try:
            self._core.create_namespaced_secret(namespace, body)
        except ApiException as error:
            if error.status != 409:
                raise
            self._core.patch_namespaced_secret(name, namespace, {"data": content})


def _load_key(data: dict[str, str]) -> ec.EllipticCurvePrivateKey:
    key = serialization.load_pem_private_key(base64.b64decode(data["tls.key"]), password=None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    return key


def _to_base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()
