"""Server in place of the image istio/examples-helloworld: `helloworld <version>`.

https://github.com/istio/istio/blob/master/samples/helloworld/src/app.py
"""

import os
import sys

from hack.lab.dataplane.servers.serving import Handler, serve

_PORT = 5000


class Helloworld(Handler):
    """Answers with version and instance."""

    def answer(self) -> None:
        """Answer one request."""
        self.read_body()
        path = self.path.partition("?")[0]
        if path == "/hello":
            self.respond(f"Hello version: {sys.argv[1]}, instance: {os.environ['HOSTNAME']}\n")
        elif path == "/health":
            self.respond("Helloworld is healthy")
        else:
            self.respond("Not Found", 404)


if __name__ == "__main__":
    serve({_PORT: Helloworld})
