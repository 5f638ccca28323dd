"""Samples of a stack."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from components.services.mesh_namespace import MeshNamespace
from components.workloads.booksapp import Booksapp
from components.workloads.emojivoto import Emojivoto
from components.workloads.helloworld import Helloworld
from components.workloads.podinfo import Podinfo
from components.workloads.sample_component import SampleComponent
from components.workloads.userlist import Userlist
from mesh import config

_COMPONENTS = {
    "podinfo": Podinfo,
    "helloworld": Helloworld,
    "booksapp": Booksapp,
    "emojivoto": Emojivoto,
    "userlist": Userlist,
}


def create_samples(
    samples: Sequence[config.Sample], namespaces: Mapping[tuple[str, str], MeshNamespace]
) -> list[SampleComponent]:
    """Create each sample of a stack on its reachable clusters.

    Args:
        samples: the samples.
        namespaces: namespaces of the stack, by the names of their cluster and of the namespace.
    """
    return [
        _COMPONENTS[sample.name](namespaces[cluster, sample.config.namespace], sample)
        for sample in samples
        for cluster in sample.all_clusters
        if (cluster, sample.config.namespace) in namespaces
    ]
