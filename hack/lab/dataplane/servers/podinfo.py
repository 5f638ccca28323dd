"""Server in place of the image stefanprodan/podinfo: `podinfo --port=<port> [--grpc-port=<port>]`.

https://github.com/stefanprodan/podinfo/tree/master/pkg/api/http
"""

import json
import os
import re
import sys
import time

from hack.lab.dataplane.servers.grpc_health import serve_health
from hack.lab.dataplane.servers.serving import Handler, serve

_VERSION = "6.7.1"
_PARAMETER = re.compile(r"/(?P<name>status|delay)/(?P<value>\d+)")
_MAX_DELAY_S = 60
_GRPC_GRACE_S = 5


class Podinfo(Handler):
    """Answers with the message that contains the cluster."""

    def answer(self) -> None:
        """Answer one request."""
        body = self.read_body()
        path = self.path.partition("?")[0]
        if path in ("/", "/api/info"):
            self._respond_json(
                {
                    "hostname": os.environ["HOSTNAME"],
                    "version": _VERSION,
                    "message": os.environ.get("PODINFO_UI_MESSAGE", ""),
                    "runtime": "lab",
                }
            )
        elif path in ("/healthz", "/readyz"):
            self._respond_json({"status": "OK"})
        elif path == "/version":
            self._respond_json({"version": _VERSION, "commit": "lab"})
        elif path in ("/echo", "/api/echo"):
            self.respond(body.decode(errors="replace"), 202)
        elif path == "/headers":
            self._respond_json({name: [value] for name, value in self.headers.items()})
        elif match := _PARAMETER.fullmatch(path):
            self._answer_parameter(match["name"], int(match["value"]))
        else:
            self.respond("Not Found", 404)

    def _answer_parameter(self, name: str, value: int) -> None:
        if name == "delay":
            time.sleep(min(value, _MAX_DELAY_S))
            self._respond_json({"delay": value})
        else:
            self._respond_json({"status": value}, value)

    def _respond_json(self, content: dict[str, object], status: int = 200) -> None:
        self.respond(json.dumps(content, indent=2) + "\n", status, "application/json; charset=utf-8")


if __name__ == "__main__":
    options = dict(argument.lstrip("-").split("=", 1) for argument in sys.argv[1:] if "=" in argument)
    health = serve_health(int(options.get("grpc-port", 9999)), os.environ.get("PODINFO_UI_MESSAGE", ""))
    serve({int(options.get("port", 9898)): Podinfo}, before_end=lambda: health.stop(_GRPC_GRACE_S).wait())
