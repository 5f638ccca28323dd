"""Which faults strike an `up` or a `destroy`, where and when: by the seed."""

from __future__ import annotations

import random
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from enum import StrEnum

import psutil

from hack.lab.state_dir import StateDir
from tests.helpers import api_server, kill, webhook
from tests.helpers.kill import Victim
from tests.helpers.options import Faults
from tests.helpers.proxy import Proxy, Trouble


class ApiServer(StrEnum):
    """What the API server of one cluster does."""

    DIES = "api-server-dies"
    HANGS = "api-server-hangs"


class Etcd(StrEnum):
    """What the etcd of one cluster does."""

    DIES = "etcd-dies"


class Webhook(StrEnum):
    """What a webhook of one cluster does."""

    IS_DOWN = "webhook-is-down"


Fault = Victim | ApiServer | Etcd | Webhook | Trouble


@dataclass(frozen=True, kw_only=True)
class Strike:
    """One fault in one run."""

    fault: Fault
    moment: float  # 0: the beginning of the run, 1: its end
    cluster: str  # whose API server it is
    hangs: float  # seconds
    share: float  # of requests

    @property
    def is_kill(self) -> bool:
        """Whether it is Pulumi that is hit, and not a cluster."""
        return isinstance(self.fault, Victim)

    def disturb(
        self, engine: psutil.Process, lab: StateDir, context: str, proxies: Mapping[str, Proxy]
    ) -> AbstractContextManager[None]:
        """The fault, as long as this is entered."""
        match self.fault:
            case Victim():
                return kill.killed(engine, self.fault)
            case Trouble():
                return proxies[context].troubled(self.fault, self.share)
            case ApiServer.DIES:
                return api_server.killed(lab, context)
            case Etcd.DIES:
                return api_server.killed(lab, context, "etcd")
            case Webhook.IS_DOWN:
                return webhook.unanswered(lab, context)
            case ApiServer.HANGS:
                return api_server.hanging(lab, context, self.hangs)

    def __str__(self) -> str:
        return f"{self.fault}-{self.moment:.3f}" + ("" if self.is_kill else f"-{self.cluster}")


def drawn(faults: Faults, what: str, names: list[str]) -> list[Strike]:
    """At as many moments as were asked for, everything is killed; and as many others of each kind in turn.

    Args:
        faults: what was asked for.
        what: of which run.
        names: the clusters.
    """
    chance = faults.random(what)
    victims = [victim for victim in Victim if victim is not Victim.EVERYTHING]
    others: list[Fault] = [*victims, *ApiServer, *Etcd, *Webhook, *Trouble]
    chance.shuffle(others)
    chosen = [fault for n in range(faults.moments) for fault in (Victim.EVERYTHING, others[n % len(others)])]
    return [_strike(chance, fault, names) for fault in chosen]


def _strike(chance: random.Random, fault: Fault, names: list[str]) -> Strike:
    return Strike(
        fault=fault,
        moment=chance.random(),
        cluster=chance.choice(names),
        hangs=chance.uniform(5, 60),
        share=chance.uniform(0.02, 0.3),
    )
