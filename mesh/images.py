"""Images of the sample workloads, each with a tag.

The tags are those in the upstream guides of the samples. If a guide has no tag, a recent one is used.
"""

from __future__ import annotations

PODINFO_IMAGE = "ghcr.io/stefanprodan/podinfo:6.7.1"
NGINX_IMAGE = "nginx:alpine"
SLOW_COOKER_IMAGE = "buoyantio/slow_cooker:1.2.0"
HELLOWORLD_IMAGE = "docker.io/istio/examples-helloworld-{}:1.0"  # v1, v2
CURL_IMAGE = "curlimages/curl:8.12.1"
BOOKSAPP_IMAGE = "ghcr.io/buoyantio/booksapp:v0.0.5"
BOOKSAPP_TRAFFIC_IMAGE = "ghcr.io/buoyantio/booksapp-traffic:v0.0.3"
USERLIST_IMAGE = "ssongman/userlist:v1"
EMOJIVOTO_IMAGE = "docker.l5d.io/buoyantio/emojivoto-{}:v11"
