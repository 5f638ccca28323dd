"""Stack files with nearly every setting, and the paths of their texts."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from mesh.config.errors import Path
from tests.helpers.certificates import DAY, IssuedCertificate

NOW = datetime.now(UTC)
ANCHOR = IssuedCertificate(name="root.linkerd.cluster.local", begin=NOW - DAY, end=NOW + 365 * DAY)

_PROFILE = {
    "routes": [{"method": "GET", "pathRegex": "/a", "name": "a-route", "timeout": "300ms"}],
    "retryBudget": {"ttl": "10s"},
}
_SAMPLE = {
    "clusters": ["west", "east"],
    "exported": ["east"],
    "exportMode": "gateway",
    "defaultInboundPolicy": "all-authenticated",
}
_LINK = {
    "serviceMirror": {"logLevel": "info", "logFormat": "json", "resources": {"requests": {"cpu": "10m"}}},
    "probe": {"timeout": "10s"},
    "selectors": {"gateway": {"example.com/g": "1"}, "remoteDiscovery": {"a": "2"}, "federated": {"b": "3"}},
    "excludedLabels": ["example.com/*"],
    "excludedAnnotations": ["note"],
}
_LINKERD = {
    "namespace": "mesh",
    "clusterDomain": "cluster.local",
    "trustDomain": "cluster.local",
    "linkTokens": "2026-11",
    "defaultInboundPolicy": "all-unauthenticated",
    "nodeSelector": {"example.com/pool": "mesh"},
    "tolerations": [{"key": "a", "operator": "Equal", "value": "b", "effect": "NoExecute", "tolerationSeconds": 5}],
    "registry": "registry.example.com/linkerd",
    "imagePullSecrets": ["of-the-company"],
    "values": {"linkerd-control-plane": {"proxy": {"logLevel": "warn"}}, "linkerd-multicluster": {"x": "y"}},
}

LINKERD: dict[str, Any] = {
    "clusters": {
        "west": {
            "context": "ctx-west",
            "reachable": True,
            "renamedFrom": "former-west",
            "apiServer": {
                "url": "https://west.example.com:6443",
                "certificateAuthority": ANCHOR.pem,
                "tlsServerName": "api.example.com",
            },
            "networks": {"pods": ["10.1.0.0/16"], "services": ["10.2.0.0/16"], "flat": "net"},
            "gateway": {
                "loadBalancer": {"annotations": {"example.com/lb": "internal"}, "sourceRanges": ["192.0.2.0/24"]},
                "addresses": ["gateway.example.com"],
            },
            "linkerd": _LINKERD,
        },
        "east": {"context": "ctx-east"},
        "north": {"context": "ctx-north"},
    },
    "topology": {"shape": "hub", "hub": "west", "direction": "from-hub", "except": [{"target": "north"}], **_LINK},
    "links": [{"source": "north", "target": "west", **_LINK}, {"source": "east", "target": "west"}],
    "linkerd": {**_LINKERD, "version": "edge-25.4.4"},
    "charts": {
        "repository": "https://charts.example.com",
        "repositories": {"linkerd": "oci://registry.example.com/charts"},
    },
    "trust": {
        "anchor": {"certificate": ANCHOR.pem},
        "certManager": {"issuerRef": {"name": "the-issuer", "kind": "Kind", "group": "example.com"}},
    },
    "imagePullSecret": '{"auths": {"registry.example.com": {"auth": "cm9ib3Q6cHc="}}}',
    "dashboardPassword": "a-password",
    "extensions": {
        "viz": {
            "clusters": ["west"],
            "prometheusUrl": "http://prometheus.example.com",
            "dashboard": {"user": "somebody", "host": "viz.example.com", "ingressClass": "nginx"},
        },
        "smi": {"clusters": ["west", "east"], "version": "1.0.1"},
        "metallb": {"pools": {"east": ["192.0.2.16-192.0.2.31"]}, "version": "0.15.2", "values": {"a": "b"}},
        "ingressNginx": {"clusters": ["west"], "version": "4.13.3", "values": {"a": "b"}},
    },
    "namespaces": {
        "shop": {
            "clusters": ["west", "east"],
            "optional": True,
            "meshed": True,
            "restart": True,
            "defaultInboundPolicy": "all-authenticated",
            "opaquePorts": ["3000-3010"],
            "skipInboundPorts": ["25"],
            "skipOutboundPorts": ["26"],
        }
    },
    "services": {
        "shop/cart": {
            "clusters": ["west", "east"],
            "optional": True,
            "exported": ["west", "east"],
            "exportMode": "gateway",
            "ports": [{"port": 80, "protocol": "grpc"}],
            "splits": [{"cluster": "west", "weights": {"west": 1, "east": 1}, "form": "smi", "smiVersion": "v1alpha1"}],
            "failover": [{"cluster": "east", "to": ["west"]}],
            "profile": _PROFILE,
            "allow": [
                {"from": "shop/web", "clusters": ["west"]},
                {"identities": ["*.shop.serviceaccount.identity.linkerd.cluster.local"], "networks": ["10.0.0.0/8"]},
            ],
            "policy": "authorization-policy",
        }
    },
    "workloads": [
        {
            "podinfo": {
                **_SAMPLE,
                "namespace": "podinfo",
                "images": {"podinfo": "registry.example.com/podinfo:1"},
                "frontend": ["west"],
                "splits": [
                    {"cluster": "west", "weights": {"west": 1, "east": 1}, "form": "smi", "smiVersion": "v1alpha1"}
                ],
                "profile": _PROFILE,
                "policy": "server-authorization",
                "policyClients": {"identities": ["*.shop.serviceaccount.identity.linkerd.cluster.local"]},
            }
        },
        {
            "helloworld": {
                **_SAMPLE,
                "namespace": "hello",
                "versions": {"west": "v1"},
                "sleep": ["west"],
                "failover": [{"cluster": "west", "backups": ["east"]}],
            }
        },
        {
            "booksapp": {
                **_SAMPLE,
                "clusters": ["west"],
                "exported": ["west"],
                "namespace": "books",
                "exportedServices": ["webapp"],
                "profile": _PROFILE,
            }
        },
        {
            "emojivoto": {
                **_SAMPLE,
                "clusters": ["west"],
                "exported": ["west"],
                "namespace": "emoji",
                "exportedServices": ["web-svc"],
                "policy": None,
            }
        },
    ],
}

CILIUM: dict[str, Any] = {
    "clusters": {
        "west": {
            "cilium": {
                "id": 1,
                "service": "LoadBalancer",
                "addresses": ["mesh.example.com"],
                "annotations": {"example.com/lb": "internal"},
                "values": {"a": "b"},
            }
        },
        "east": {"cilium": {"id": 2}},
    },
    "cilium": {"version": "1.17.4", "service": "NodePort", "values": {"a": "b"}},
    "workloads": [
        {
            "userlist": {
                "namespace": "song",
                "shared": ["west"],
                "affinity": "local",
                "curltest": ["west"],
                "memory": {"request": "64Mi", "limit": "256Mi"},
            }
        }
    ],
}
SECRET_KEYS = ("imagePullSecret", "dashboardPassword")


def text_paths(value: Any, path: Path = ()) -> Iterator[Path]:
    """Yield the path of each text in a configuration; the path of a key ends with `[key]`."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield (*path, key, "[key]")
            yield from text_paths(item, (*path, key))
    elif isinstance(value, list):
        for number, item in enumerate(value):
            yield from text_paths(item, (*path, number))
    elif isinstance(value, str):
        yield path


# Copies, because the parts above are shared.
LINKERD, CILIUM = json.loads(json.dumps(LINKERD)), json.loads(json.dumps(CILIUM))


def with_text(config: dict[str, Any], path: Path, text: str) -> dict[str, Any]:
    """Return a copy of a configuration with another text at a path."""
    changed = copy.deepcopy(config)
    set_text(changed, path, text)
    return changed


def set_text(config: dict[str, Any], path: Path, text: str) -> None:
    """Replace the text at a path of a configuration."""
    *outer, last = path[:-2] + path[-2:-1] if path[-1] == "[key]" else path
    container: Any = config
    for part in outer:
        container = container[part]
    if path[-1] != "[key]":
        container[last] = text
        return
    # The new key keeps the position of the old one.
    entries = {text if key == last else key: item for key, item in container.items()}
    container.clear()
    container.update(entries)
