"""Which faults strike an `up` or a `destroy`, where and when: by the seed."""

from __future__ import annotations

import random
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from enum import StrEnum

import psutil

from hack.lab.state_dir import StateDir
from tests.helpers import api_server_faults, pulumi_kill, unreachable_webhook
from tests.helpers.fault_proxy import FaultProxy, RequestFault
from tests.helpers.options import FaultOptions
from tests.helpers.pulumi_kill import KillTarget


class ApiServerFault(StrEnum):
    """What the API server of one cluster does."""

    DIES = "api-server-dies"
    HANGS = "api-server-hangs"


class EtcdFault(StrEnum):
    """What the etcd of one cluster does."""

    DIES = "etcd-dies"


class WebhookFault(StrEnum):
    """What a webhook of one cluster does."""

    IS_DOWN = "webhook-is-down"


Fault = KillTarget | ApiServerFault | EtcdFault | WebhookFault | RequestFault


@dataclass(frozen=True, kw_only=True)
class PlannedFault:
    """One fault in one run."""

    fault: Fault
    moment: float  # 0: the beginning of the run, 1: its end
    cluster: str  # whose API server it is
    hangs: float  # seconds
    share: float  # of requests

    @property
    def is_kill(self) -> bool:
        """Whether it is Pulumi that is hit, and not a cluster."""
        return isinstance(self.fault, KillTarget)

    def disturb(
        self, engine: psutil.Process, lab: StateDir, context: str, proxies: Mapping[str, FaultProxy]
    ) -> AbstractContextManager[None]:
        """The fault, as long as this is entered."""
        match self.fault:
            case KillTarget():
                return pulumi_kill.kill(engine, self.fault)
            case RequestFault():
                return proxies[context].troubled(self.fault, self.share)
            case ApiServerFault.DIES:
                return api_server_faults.kill_component(lab, context)
            case EtcdFault.DIES:
                return api_server_faults.kill_component(lab, context, "etcd")
            case WebhookFault.IS_DOWN:
                return unreachable_webhook.install_webhook(lab, context)
            case ApiServerFault.HANGS:
                return api_server_faults.suspend_api_server(lab, context, self.hangs)

    def __str__(self) -> str:
        return f"{self.fault}-{self.moment:.3f}" + ("" if self.is_kill else f"-{self.cluster}")


def draw_faults(faults: FaultOptions, what: str, names: list[str]) -> list[PlannedFault]:
    """At as many moments as were asked for, everything is killed; and as many others of each kind in turn.

    Args:
        faults: what was asked for.
        what: of which run.
        names: the clusters.
    """
    chance = faults.random(what)
    victims = [victim for victim in KillTarget if victim is not KillTarget.EVERYTHING]
    others: list[Fault] = [*victims, *ApiServerFault, *EtcdFault, *WebhookFault, *RequestFault]
    chance.shuffle(others)
    chosen = [fault for n in range(faults.moments) for fault in (KillTarget.EVERYTHING, others[n % len(others)])]
    return [_draw_fault(chance, fault, names) for fault in chosen]


def _draw_fault(chance: random.Random, fault: Fault, names: list[str]) -> PlannedFault:
    return PlannedFault(
        fault=fault,
        moment=chance.random(),
        cluster=chance.choice(names),
        hangs=chance.uniform(5, 60),
        share=chance.uniform(0.02, 0.3),
    )
