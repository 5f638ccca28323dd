"""Plan of the faults during an `up` or a `destroy`: kind, cluster and moment, drawn by the seed."""

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
    """Faults of a cluster's API server."""

    DIES = "api-server-dies"
    HANGS = "api-server-hangs"


class EtcdFault(StrEnum):
    """Faults of a cluster's etcd."""

    DIES = "etcd-dies"


class WebhookFault(StrEnum):
    """Faults of a webhook in a cluster."""

    IS_DOWN = "webhook-is-down"


Fault = KillTarget | ApiServerFault | EtcdFault | WebhookFault | RequestFault


@dataclass(frozen=True, kw_only=True)
class PlannedFault:
    """One fault during one run."""

    fault: Fault
    moment: float  # fraction of the run: 0 is its start, 1 its end
    cluster: str  # ignored for kills
    hang_s: float
    request_share: float  # fraction of the requests that fail

    @property
    def is_kill(self) -> bool:
        """Return whether the fault kills processes of Pulumi, not of a cluster."""
        return isinstance(self.fault, KillTarget)

    def inject(
        self, pulumi_process: psutil.Process, lab: StateDir, context: str, proxies: Mapping[str, FaultProxy]
    ) -> AbstractContextManager[None]:
        """Return a context manager that applies the fault while it is active."""
        match self.fault:
            case KillTarget():
                return pulumi_kill.kill(pulumi_process, self.fault)
            case RequestFault():
                return proxies[context].inject(self.fault, self.request_share)
            case ApiServerFault.DIES:
                return api_server_faults.kill_component(lab, context)
            case EtcdFault.DIES:
                return api_server_faults.kill_component(lab, context, "etcd")
            case WebhookFault.IS_DOWN:
                return unreachable_webhook.install_webhook(lab, context)
            case ApiServerFault.HANGS:
                return api_server_faults.suspend_api_server(lab, context, self.hang_s)

    def __str__(self) -> str:
        return f"{self.fault}-{self.moment:.3f}" + ("" if self.is_kill else f"-{self.cluster}")


def draw_faults(options: FaultOptions, purpose: str, clusters: list[str]) -> list[PlannedFault]:
    """Draw a kill of everything and one other fault for each requested moment.

    The other faults take turns, in random order.


    Args:
        options: seed and number of moments.
        purpose: name of the run, so that each run draws its own faults.
        clusters: names of the clusters.
    """
    rng = options.random(purpose)
    kill_targets = [target for target in KillTarget if target is not KillTarget.EVERYTHING]
    other_faults: list[Fault] = [*kill_targets, *ApiServerFault, *EtcdFault, *WebhookFault, *RequestFault]
    rng.shuffle(other_faults)
    faults = [
        fault for n in range(options.moments) for fault in (KillTarget.EVERYTHING, other_faults[n % len(other_faults)])
    ]
    return [_draw_fault(rng, fault, clusters) for fault in faults]


def _draw_fault(rng: random.Random, fault: Fault, clusters: list[str]) -> PlannedFault:
    return PlannedFault(
        fault=fault,
        moment=rng.random(),
        cluster=rng.choice(clusters),
        hang_s=rng.uniform(5, 60),
        request_share=rng.uniform(0.02, 0.3),
    )
