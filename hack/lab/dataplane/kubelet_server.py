"""Server of `kubectl exec`, port-forward and logs, in place of the kubelets of a cluster's nodes.

https://kubernetes.io/docs/concepts/architecture/control-plane-node-communication/
"""

from pathlib import Path

from hack.lab.allocation import ClusterAllocation
from hack.lab.dataplane import namespaces, state
from hack.lab.pki import Pki
from hack.lab.restarting_process import Command


def command(program: Path, folder: Path, allocation: ClusterAllocation) -> Command:
    """Return the command of the server, which accepts only the API server of the cluster with this folder."""
    pki = Pki(folder=folder / "pki")
    return Command(
        name=program.name,
        argv=(
            str(program),
            f"--address=127.0.0.1:{allocation.ports.kubelet}",
            f"--state={state.state_file(folder)}",
            f"--logs={folder / 'logs' / 'pods'}",
            f"--tls-cert-file={pki.certificate('kubelet')}",
            f"--tls-private-key-file={pki.key('kubelet')}",
            f"--client-ca-file={pki.certificate('ca')}",
        ),
        log=folder / "logs" / "kubelet.log",
        port=allocation.ports.kubelet,
        environment={"PATH": namespaces.SYSTEM_PATH},
    )
