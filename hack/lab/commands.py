"""Command lines of a cluster's programs."""

from pathlib import Path

from hack.lab import kwok
from hack.lab.allocation import ClusterAllocation
from hack.lab.pki import Pki
from hack.lab.restarting_process import Command

_QUICK = ("--kube-api-qps=200", "--kube-api-burst=400", "--leader-elect=false", "--profiling=false", "--secure-port=0")


def etcd_command(programs: Path, folder: Path, allocation: ClusterAllocation, pki: Pki) -> Command:
    """Return the command of etcd: one member on loopback, only for clients with a certificate of its CA."""
    client = f"https://127.0.0.1:{allocation.ports.etcd}"
    peer = f"https://127.0.0.1:{allocation.ports.etcd_peer}"
    tls = {
        "cert-file": pki.certificate("etcd"),
        "key-file": pki.key("etcd"),
        "trusted-ca-file": pki.certificate("etcd-ca"),
    }
    return _command(
        programs / "bin" / "etcd",
        folder,
        allocation.ports.etcd,
        "--name=lab",
        f"--data-dir={folder / 'etcd'}",
        f"--listen-client-urls={client}",
        f"--advertise-client-urls={client}",
        f"--listen-peer-urls={peer}",
        f"--initial-advertise-peer-urls={peer}",
        f"--initial-cluster=lab={peer}",
        *(f"--{option}={file}" for option, file in tls.items()),
        "--client-cert-auth",
        *(f"--peer-{option}={file}" for option, file in tls.items()),
        "--peer-client-cert-auth",
        # fsync takes most of the start time; without it a power cut can only damage the lab.
        "--unsafe-no-fsync",
        "--log-level=warn",
    )


def kube_apiserver_command(programs: Path, folder: Path, allocation: ClusterAllocation, pki: Pki) -> Command:
    """Return the command of the API server, configured as by kubeadm except for the egress proxy."""
    ports = allocation.ports
    return _command(
        programs / "bin" / "kube-apiserver",
        folder,
        ports.api_server,
        "--bind-address=127.0.0.1",
        f"--secure-port={ports.api_server}",
        f"--advertise-address={allocation.advertised_address}",
        f"--service-cluster-ip-range={allocation.service_cidr}",
        "--authorization-mode=Node,RBAC",
        "--enable-admission-plugins=NodeRestriction",
        "--allow-privileged=true",
        "--profiling=false",
        f"--etcd-servers=https://127.0.0.1:{ports.etcd}",
        f"--etcd-cafile={pki.certificate('etcd-ca')}",
        f"--etcd-certfile={pki.certificate('etcd-client')}",
        f"--etcd-keyfile={pki.key('etcd-client')}",
        f"--tls-cert-file={pki.certificate('apiserver')}",
        f"--tls-private-key-file={pki.key('apiserver')}",
        f"--client-ca-file={pki.certificate('ca')}",
        f"--kubelet-certificate-authority={pki.certificate('ca')}",
        f"--kubelet-client-certificate={pki.certificate('kubelet-client')}",
        f"--kubelet-client-key={pki.key('kubelet-client')}",
        "--kubelet-preferred-address-types=InternalIP",
        f"--proxy-client-cert-file={pki.certificate('front-proxy-client')}",
        f"--proxy-client-key-file={pki.key('front-proxy-client')}",
        f"--requestheader-client-ca-file={pki.certificate('front-proxy-ca')}",
        "--requestheader-allowed-names=front-proxy-client",
        "--requestheader-extra-headers-prefix=X-Remote-Extra-",
        "--requestheader-group-headers=X-Remote-Group",
        "--requestheader-username-headers=X-Remote-User",
        "--service-account-issuer=https://kubernetes.default.svc.cluster.local",
        f"--service-account-key-file={pki.public_key('service-account')}",
        f"--service-account-signing-key-file={pki.key('service-account')}",
        f"--egress-selector-config-file={folder / 'egress-selector.yaml'}",
    )


def kube_controller_manager_command(programs: Path, folder: Path, allocation: ClusterAllocation, pki: Pki) -> Command:
    """Return the command of the controller manager, whose controllers use their own service accounts."""
    return _command(
        programs / "bin" / "kube-controller-manager",
        folder,
        None,
        f"--kubeconfig={folder / 'kube-controller-manager.kubeconfig'}",
        *_QUICK,
        "--use-service-account-credentials=true",
        f"--service-account-private-key-file={pki.key('service-account')}",
        f"--root-ca-file={pki.certificate('ca')}",
        f"--cluster-signing-cert-file={pki.certificate('ca')}",
        f"--cluster-signing-key-file={pki.key('ca')}",
        f"--cluster-cidr={allocation.pod_cidr}",
        f"--service-cluster-ip-range={allocation.service_cidr}",
        # Longer than a lease, so that no pods are evicted after a laptop has slept.
        "--node-monitor-grace-period=10m",
    )


def kube_scheduler_command(programs: Path, folder: Path) -> Command:
    """Return the command of the scheduler."""
    return _command(
        programs / "bin" / "kube-scheduler",
        folder,
        None,
        f"--kubeconfig={folder / 'kube-scheduler.kubeconfig'}",
        *_QUICK,
    )


def kwok_command(
    programs: Path, folder: Path, allocation: ClusterAllocation, pki: Pki, *, has_pods: bool = True
) -> Command:
    """Return the command of kwok, which simulates the nodes, and their pods unless the data plane runs them."""
    return _command(
        programs / "bin" / "kwok",
        folder,
        allocation.ports.kubelet,
        *kwok.kwok_arguments(
            folder / "kwok.yaml", folder / "lab.kubeconfig", allocation, pki.folder, has_pods=has_pods
        ),
        # By default kwok reads a configuration from the user's home folder.
        environment={"KWOK_WORKDIR": str(folder / "kwok")},
    )


def _command(
    program: Path, folder: Path, port: int | None, *arguments: str, environment: dict[str, str] | None = None
) -> Command:
    return Command(
        name=program.name,
        argv=(str(program), *arguments),
        log=folder / "logs" / f"{program.name}.log",
        port=port,
        # The environment is not inherited, so that no proxy settings of the user reach the cluster. A high GOGC saves
        # processor time at the cost of memory.
        environment={"HOME": str(folder), "GOGC": "400", **(environment or {})},
    )
