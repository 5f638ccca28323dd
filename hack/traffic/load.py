"""Load clients in pods: their start, a wait until all requests succeed, and their answers."""

from __future__ import annotations

import subprocess
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from hack.traffic import load_client
from hack.traffic.report import Answer, ClientReport, parse_answers, summarize

RATE_PER_S = 20
REQUEST_TIMEOUT_S = 10.0
_STOP_TIMEOUT_S = REQUEST_TIMEOUT_S + 10
_POLL_INTERVAL_S = 0.1
_PIPE_TIMEOUT_S = 1.0
_SOURCE = Path(load_client.__file__).read_text()


class LoadError(Exception):
    """A load client could not run, or its requests do not succeed."""


@dataclass(frozen=True, kw_only=True)
class ClientSpec:
    """Client of a service."""

    name: str  # in the report
    command: tuple[str, ...]  # runs its arguments in the client's container, with standard input
    url: str
    origin_pattern: str  # a regular expression; its first group is the origin of an answer
    keeps_connections: bool = False
    interpreter: tuple[str, ...] = ("python3", "-I")  # in the client's container


class RunningClient:
    """Process of one load client, which runs from the creation of this object until `stop` or `kill`.

    Args:
        spec: the client.
        environment: the environment of its command.
    """

    def __init__(self, spec: ClientSpec, environment: Mapping[str, str]) -> None:
        self.spec = spec
        self._answers: list[Answer] = []
        self._lock = threading.Lock()
        self._errors: list[str] = []
        self._process = subprocess.Popen(
            client_command(spec),
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout and self._process.stderr
        self._readers = [
            threading.Thread(target=self._read_answers, args=(self._process.stdout,), daemon=True),
            threading.Thread(target=self._read_errors, args=(self._process.stderr,), daemon=True),
        ]
        for reader in self._readers:
            reader.start()

    def answers_since(self, began: float) -> list[Answer]:
        """Return the answers to requests that were due after a Unix time, in the order of the requests."""
        with self._lock:
            return sorted((answer for answer in self._answers if answer.at >= began), key=lambda answer: answer.at)

    def stop(self) -> None:
        """Let the client wait for outstanding answers, and end.

        Raises:
            LoadError: the client failed, or does not end.
        """
        assert self._process.stdin
        # The pipe is broken if the client has ended.
        with suppress(BrokenPipeError):
            self._process.stdin.close()
        try:
            code = self._process.wait(_STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self.kill()
            raise LoadError(
                f"{self.spec.name}: runs {_STOP_TIMEOUT_S:.0f} s after its stop; see the processes of its pod"
            ) from None
        for reader in self._readers:
            reader.join()
        if code:
            raise LoadError(f"{self.spec.name}: exit code {code}: {''.join(self._errors[-3:]).strip() or 'no output'}")

    def kill(self) -> None:
        """End the process without waiting for answers, and close its pipes."""
        self._process.kill()
        self._process.wait()
        for reader in self._readers:
            reader.join(_PIPE_TIMEOUT_S)
        if any(reader.is_alive() for reader in self._readers):
            return  # another process has the other end of a pipe; to close the pipe now would block
        for stream in (self._process.stdin, self._process.stdout, self._process.stderr):
            with suppress(BrokenPipeError):
                if stream is not None:
                    stream.close()

    def require_running(self) -> None:
        """Check that the process has not ended.

        Raises:
            LoadError: the process has ended; the message contains its output.
        """
        if self._process.poll() is not None:
            self.stop()
            raise LoadError(f"{self.spec.name}: ended before its stop, with exit code 0; see the log of its pod")

    def _read_answers(self, stream: IO[str]) -> None:
        for line in stream:
            answers = parse_answers([line])
            with self._lock:
                self._answers += answers

    def _read_errors(self, stream: IO[str]) -> None:
        self._errors += stream


class Load:
    """Live requests of several clients.

    Args:
        clients: the running clients.
    """

    def __init__(self, clients: Sequence[RunningClient]) -> None:
        self._clients = clients
        self._began = time.time()

    def wait_until_steady(self, *, steady_s: float, timeout_s: float) -> None:
        """Wait until no client has lost a request for some time; the report begins with this time.

        Args:
            steady_s: the time without a loss, in seconds.
            timeout_s: time limit of the wait, in seconds.

        Raises:
            LoadError: a client has ended, or still loses requests at the time limit.
        """
        deadline = time.monotonic() + timeout_s
        began = time.time()
        while True:
            time.sleep(_POLL_INTERVAL_S)
            for client in self._clients:
                client.require_running()
            lost = {client.spec.name: _last_loss(client.answers_since(began)) for client in self._clients}
            began = max([began, *(answer.at + _POLL_INTERVAL_S for answer in lost.values() if answer)])
            counts = [len(client.answers_since(began)) for client in self._clients]
            if time.time() >= began + steady_s and min(counts) >= RATE_PER_S * steady_s / 2:
                self._began = began
                return
            if time.monotonic() > deadline:
                reasons = "; ".join(
                    f"{name}: {answer.reason} {answer.text or answer.error}" for name, answer in lost.items() if answer
                )
                raise LoadError(f"not steady after {timeout_s:.0f} seconds: {reasons or f'answers {counts}'}")

    def report(self, change: str, duration_s: float) -> list[ClientReport]:
        """Return the report of each client, since all requests succeeded; call it after the clients have stopped.

        Args:
            change: description of the change.
            duration_s: duration of the change, in seconds.
        """
        return [
            summarize(
                change, duration_s, client.spec.name, client.answers_since(self._began), client.spec.origin_pattern
            )
            for client in self._clients
        ]

    def answers(self) -> dict[str, list[Answer]]:
        """Return the answers by client, since all requests succeeded."""
        return {client.spec.name: client.answers_since(self._began) for client in self._clients}


@contextmanager
def run_load(clients: Sequence[ClientSpec], environment: Mapping[str, str]) -> Iterator[Load]:
    """Run load clients, and stop them on exit.

    Args:
        clients: the clients.
        environment: the environment of their commands.

    Raises:
        LoadError: a client failed.
    """
    running: list[RunningClient] = []
    try:
        for spec in clients:
            running.append(RunningClient(spec, environment))
        yield Load(running)
        stop_all(running)
    finally:
        for client in running:
            client.kill()


def stop_all(clients: Sequence[RunningClient]) -> None:
    """Stop all clients.

    Raises:
        LoadError: a client failed; all others are stopped nevertheless.
    """
    errors = []
    for client in clients:
        try:
            client.stop()
        except LoadError as error:
            errors.append(error)
    if errors:
        raise errors[0]


def client_command(spec: ClientSpec) -> list[str]:
    """Return the command that runs the load client in its container."""
    options = [f"--rate={RATE_PER_S}", f"--timeout={REQUEST_TIMEOUT_S}"]
    if spec.keeps_connections:
        options.append("--keep-connections")
    return [*spec.command, *spec.interpreter, "-c", _SOURCE, *options, spec.url]


def _last_loss(answers: Sequence[Answer]) -> Answer | None:
    return next((answer for answer in reversed(answers) if not answer.is_success), None)
