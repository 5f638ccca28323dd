"""Server in place of the image prom/prometheus: its only metric is the start time of Linkerd's proxies.

Linkerd's check reads from these metrics whether every proxy is scraped.
https://prometheus.io/docs/prometheus/latest/querying/api/
"""

import concurrent.futures
import contextlib
import json
import os
import re
import ssl
import time
import urllib.request
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from hack.lab.dataplane.servers.serving import Handler, serve

_PORT, _PROXY_PORT = 9090, 4191
_METRIC = "process_start_time_seconds"
_SAMPLE = re.compile(rf"^{_METRIC} (\S+)$", re.MULTILINE)
_NAMESPACE = re.compile(r'namespace="([^"]*)"')
_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
_API_TIMEOUT_S, _SCRAPE_TIMEOUT_S = 5, 2


class Prometheus(Handler):
    """Answers queries and probes."""

    def answer(self) -> None:
        """Answer one request."""
        parameters = parse_qs(urlsplit(self.path).query) | parse_qs(self.read_body().decode(errors="replace"))
        if not self.path.startswith("/api/"):
            self.respond("OK")
            return
        query = parameters.get("query", [""])[0]
        kind = "matrix" if "/query_range" in self.path else "vector"
        result = _scrape_start_times(query) if _METRIC in query and kind == "vector" else []
        answer = {"status": "success", "data": {"resultType": kind, "result": result}}
        self.respond(json.dumps(answer), media_type="application/json")


def _scrape_start_times(query: str) -> list[dict[str, object]]:
    """Return a sample for each meshed pod whose proxy answers, in the namespace of the query or in all."""
    namespace = match[1] if (match := _NAMESPACE.search(query)) else None
    pods = [
        pod for pod in _list_pods() if pod["status"].get("podIP") and namespace in (None, pod["metadata"]["namespace"])
    ]
    with concurrent.futures.ThreadPoolExecutor(max_workers=16) as pool:
        values = list(pool.map(_scrape_start_time, [pod["status"]["podIP"] for pod in pods]))
    return [
        {
            "metric": {"namespace": pod["metadata"]["namespace"], "pod": pod["metadata"]["name"]},
            "value": [time.time(), value],
        }
        for pod, value in zip(pods, values, strict=True)
        if value is not None
    ]


def _list_pods() -> list[dict[str, Any]]:
    request = urllib.request.Request(
        f"https://{os.environ['KUBERNETES_SERVICE_HOST']}/api/v1/pods",
        headers={"Authorization": f"Bearer {(_ACCOUNT / 'token').read_text()}"},
    )
    tls = ssl.create_default_context(cafile=str(_ACCOUNT / "ca.crt"))
    with urllib.request.urlopen(request, timeout=_API_TIMEOUT_S, context=tls) as response:
        pods: list[dict[str, Any]] = json.load(response)["items"]
    return pods


def _scrape_start_time(address: str) -> str | None:
    with contextlib.suppress(OSError):
        url = f"http://{address}:{_PROXY_PORT}/metrics"
        with urllib.request.urlopen(url, timeout=_SCRAPE_TIMEOUT_S) as response:
            match = _SAMPLE.search(response.read().decode(errors="replace"))
            return match[1] if match else None
    return None


if __name__ == "__main__":
    serve({_PORT: Prometheus})
