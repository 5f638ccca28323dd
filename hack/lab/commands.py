"""The command lines of a cluster's programs."""

from pathlib import Path

from hack.lab import kwok
from hack.lab.allocation import ClusterAllocation
from hack.lab.pki import Pki
from hack.lab.processes import Command

_QUICK = ("--kube-api-qps=200", "--kube-api-burst=400", "--leader-elect=false", "--profiling=false", "--secure-port=0")


def etcd(programs: Path, folder: Path, identity: ClusterAllocation, pki: Pki) -> Command:
    """The data store: a single member, on loopback, to clients with a certificate of its CA only."""
    client = f"https://127.0.0.1:{identity.ports.etcd}"
    peer = f"https://127.0.0.1:{identity.ports.etcd_peer}"
    tls = {
        "cert-file": pki.certificate("etcd"),
        "key-file": pki.key("etcd"),
        "trusted-ca-file": pki.certificate("etcd-ca"),
    }
    return _command(
        programs / "bin" / "etcd",
        folder,
        identity.ports.etcd,
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
        # What a power cut could cost is a lab; what fsync costs is most of the start.
        "--unsafe-no-fsync",
        "--log-level=warn",
    )


def kube_apiserver(programs: Path, folder: Path, identity: ClusterAllocation, pki: Pki) -> Command:
    """The API server, set up as kubeadm does it, apart from its way out (see `egress`)."""
    ports = identity.ports
    return _command(
        programs / "bin" / "kube-apiserver",
        folder,
        ports.api_server,
        "--bind-address=127.0.0.1",
        f"--secure-port={ports.api_server}",
        f"--advertise-address={identity.advertised_address}",
        f"--service-cluster-ip-range={identity.service_cidr}",
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


def kube_controller_manager(programs: Path, folder: Path, identity: ClusterAllocation, pki: Pki) -> Command:
    """The controllers, each with its own service account's rights."""
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
        f"--cluster-cidr={identity.pod_cidr}",
        f"--service-cluster-ip-range={identity.service_cidr}",
        # Longer than a lease: a laptop that slept must not wake to evicted pods.
        "--node-monitor-grace-period=10m",
    )


def kube_scheduler(programs: Path, folder: Path) -> Command:
    """The scheduler."""
    return _command(
        programs / "bin" / "kube-scheduler",
        folder,
        None,
        f"--kubeconfig={folder / 'kube-scheduler.kubeconfig'}",
        *_QUICK,
    )


def kwok_kubelets(programs: Path, folder: Path, identity: ClusterAllocation, pki: Pki) -> Command:
    """kwok, the kubelets of all nodes."""
    return _command(
        programs / "bin" / "kwok",
        folder,
        identity.ports.kubelet,
        *kwok.arguments(folder / "kwok.yaml", folder / "lab.kubeconfig", identity, pki.folder),
        # Else it reads a configuration from the person's home folder.
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
        # Nothing of the person's own settings (proxies above all) leaks into the cluster. Garbage is collected less
        # often than by default: it costs memory, of which there is more than of processors.
        environment={"HOME": str(folder), "GOGC": "400", **(environment or {})},
    )
