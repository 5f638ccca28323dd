"""Fixtures for stack files of tests: kubeconfigs, folders, environments and the secrets named in the corpus."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import pytest

from tests.helpers import kubeconfigs
from tests.helpers.certificates import DAY, IssuedCertificate, generate_rsa_key, private_key_pem
from tests.helpers.stack_files import Environment

SOUTH_KUBECONFIG = kubeconfigs.build_kubeconfig(
    {"admin@south": {"server": "https://south.example.com"}}, current="admin@south"
)
CLOUD_SERVERS = {
    "arn:aws:eks:eu-central-1:123456789012:cluster/prod": "https://ABCDEF0123.gr7.eu-central-1.eks.amazonaws.com",
    "gke_project_europe-west3_east": "https://203.0.113.9",
}
KUBECONFIGS = {
    "clouds.yaml": kubeconfigs.build_kubeconfig({name: {"server": server} for name, server in CLOUD_SERVERS.items()}),
    "south.yaml": SOUTH_KUBECONFIG,
    "two.yaml": kubeconfigs.build_kubeconfig(
        {"one": {"server": "https://1.example.com"}, "two": {"server": "https://2.example.com"}}
    ),
    "empty.yaml": "",
    "list.yaml": "- a list\n",
    # A manifest in the same folder.
    "gateway-api.yaml": "{}\n",
    "broken.yaml": f"users:\n- name: someone\n  user: {{token: {kubeconfigs.TOKEN}\n",
}


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the home folder for tests; paths of the corpus are relative to it."""
    home = tmp_path_factory.mktemp("home")
    (home / "charts").mkdir()
    (home / "fleet").mkdir()
    for name, text in KUBECONFIGS.items():
        (home / "fleet" / name).write_text(text)
    return home


@pytest.fixture(scope="session")
def environment(home: Path) -> Environment:
    """Return environment variables with a kubeconfig that has all contexts of the corpus."""
    lab_extension = [{"name": "multicluster-mesh.lab", "extension": {"loopbackPeers": True}}]
    environment = kubeconfigs.write_kubeconfig(
        home / "kubeconfig",
        west={"server": "https://192.0.2.1:6443", "certificate-authority-data": "Q0E="},
        east={"server": "https://east.example.com"},
        north={"server": "https://[2001:db8::1]:6443"},
        local={"server": "https://127.0.0.1:6443"},
        lab={"server": "https://127.0.0.1:6443", "extensions": lab_extension},
        plain={"server": "http://10.0.0.7:8080"},
        torn={"server": "https://[2001:db8::1"},
        rancher={"server": "https://rancher.example.com/k8s/clusters/c-m-9xq2v7dk"},
    )
    return {**environment, "HOME": str(home)}


@pytest.fixture(scope="session")
def small_environment(home: Path) -> Environment:
    """Return environment variables with a small kubeconfig, which is quick to read."""
    return {
        **kubeconfigs.write_kubeconfig(home / "small", west={"server": "https://192.0.2.1:6443"}),
        "HOME": str(home),
    }


@pytest.fixture(scope="session")
def corpus_texts(home: Path) -> dict[str, str]:
    """Return the texts that the corpus refers to by name.

    These texts are generated in each run, so that no certificate expires and no key is stored.
    """
    start, yesterday, end = (datetime.now(UTC) + days * DAY for days in (-60, -1, 30))
    identity = "identity.linkerd.cluster.local"
    anchor = partial(IssuedCertificate, begin=start, end=end)
    root, other = anchor(), anchor()
    issuer = partial(anchor, name=identity, signer=root)
    certificates = {
        "root": root,
        "other": other,
        "old": anchor(end=yesterday),
        "leaf": anchor(ca=False),
        "west": issuer(),
        "east": issuer(),
        "elsewhere": issuer(name="identity.mesh.corp.example"),
        "strange": issuer(signer=other),
        "old-west": issuer(end=yesterday),
        "leaf-west": issuer(ca=False),
        "rsa-west": issuer(key=generate_rsa_key(2048)),
    }
    pull_secret = {"auths": {"registry.example.com": {"auth": base64.b64encode(b"robot:pull-password").decode()}}}
    missing_file = {"server": "https://south.example.com", "certificate-authority": f"{kubeconfigs.TOKEN}.crt"}
    return {
        **{f"{name}.crt": certificate.pem for name, certificate in certificates.items()},
        **{f"{name}.key": certificate.private_key for name, certificate in certificates.items()},
        "encrypted.key": private_key_pem(root.key, password=b"password"),
        "both.crt": other.pem + root.pem,
        "cut.crt": root.pem[:200],
        "pull.json": json.dumps(pull_secret),
        "pull.base64": base64.b64encode(json.dumps(pull_secret).encode()).decode(),
        "token": kubeconfigs.TOKEN,
        "blank": " \n",
        "digits": "12345",
        "agent": f"https://buoyant.example.com/agent.yaml?token={kubeconfigs.TOKEN}",
        "gateway-api": str(home / "fleet" / "gateway-api.yaml"),
        "south": SOUTH_KUBECONFIG,
        "two": KUBECONFIGS["two.yaml"],
        "broken": KUBECONFIGS["broken.yaml"],
        "authority-in-a-file": kubeconfigs.build_kubeconfig({"south": missing_file}),
        "user-in-files": kubeconfigs.build_kubeconfig(
            {"south": {"server": "https://south.example.com"}},
            user={"client-certificate": "/pki/me.crt", "client-key": "me.key", "tokenFile": kubeconfigs.TOKEN},
        ),
        "plugin-beside-the-file": kubeconfigs.build_kubeconfig(
            {"south": {"server": "https://south.example.com"}},
            user={
                "exec": {
                    "apiVersion": "client.authentication.k8s.io/v1",
                    "command": "./bin/login",
                    "interactiveMode": "Never",
                }
            },
        ),
    }
