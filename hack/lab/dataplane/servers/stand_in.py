"""Server in place of an image that the lab does not have: `stand_in <image> <port>…` answers every request."""

import os
import sys

from hack.lab.dataplane.servers.serving import Handler, serve


class StandIn(Handler):
    """Answers with the image and the instance."""

    def answer(self) -> None:
        """Answer one request."""
        self.read_body()
        self.respond(f"stand-in for {sys.argv[1]}, instance: {os.environ['HOSTNAME']}\n")


if __name__ == "__main__":
    serve({int(port): StandIn for port in sys.argv[2:]})
