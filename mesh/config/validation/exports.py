"""Rules on exported and federated services: their export mode, and the links of other clusters."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from mesh.config.errors import ELLIPSIS, ValidationErrors
from mesh.config.models.services import ExportConfig, ExportMode
from mesh.config.parser import ParsedStackFile
from mesh.config.validation.links import has_shared_flat_network
from mesh.linkerd_releases import LinkerdRelease
from mesh.topology import Link

Path = tuple[str | int, ...]


def choose_export_mode(config: ExportConfig, cluster: str, links: Iterable[Link]) -> ExportMode:
    """Return how sources reach the services that a cluster exports.

    Args:
        config: the sample or service.
        cluster: the exporting cluster.
        links: all links.
    """
    if config.export_mode is not None:
        return config.export_mode
    incoming = [link for link in links if link.target == cluster]
    return "remote-discovery" if incoming and not any(link.has_gateway for link in incoming) else "gateway"


class ExportValidator:
    """Validator of exported and federated services.

    Args:
        parsed: the stack file.
        links: all links.
        linkerd_release: the Linkerd release of the mesh.
        errors: collects validation errors and warnings.
    """

    def __init__(
        self, parsed: ParsedStackFile, links: Sequence[Link], linkerd_release: LinkerdRelease, errors: ValidationErrors
    ) -> None:
        self._parsed, self._links, self._linkerd_release, self._errors = parsed, links, linkerd_release, errors

    def check(
        self, path: Path, config: ExportConfig, exported: Mapping[int, str], federated: Mapping[int, str]
    ) -> None:
        """Report exported and federated services that cannot work.

        Args:
            path: path of the sample or service.
            config: the sample or service.
            exported: the exporting clusters, by their index in the list.
            federated: the clusters whose services join a federated service, by their index in the list.
        """
        if config.export_mode is not None and not config.exported:
            rule = "nothing is exported"
            self._errors.add((*path, "exportMode"), config.export_mode, rule, "set `exported`, or remove it")
        for index, cluster in exported.items():
            self._check_exported((*path, "exported", index), config, cluster)
        if federated and not self._linkerd_release.has_federated_services:
            rule = f"Linkerd {self._linkerd_release.version} has no federated services"
            self._errors.add((*path, "federated"), ELLIPSIS, rule, "choose 2.17 or later, or remove it")
            return
        for index, cluster in federated.items():
            self._check_federated((*path, "federated", index), cluster, list(exported.values()))

    def _check_exported(self, path: Path, config: ExportConfig, cluster: str) -> None:
        incoming = [link for link in self._links if link.target == cluster]
        through_gateway = [link for link in incoming if link.has_gateway]
        mode_path = (*path[:-2], "exportMode")
        if config.export_mode == "gateway" and incoming and not through_gateway:
            rule = f"no link to {cluster} has a gateway"
            self._errors.add(mode_path, "gateway", rule, "remove it, or choose remote-discovery")
        elif config.export_mode == "remote-discovery":
            for link in self._links_between_networks(cluster):
                rule = f"pods of {link.source} cannot reach pods of {cluster}, because their link has a gateway"
                self._errors.add(mode_path, "remote-discovery", rule, self._network_remedy(link))
        elif config.export_mode is None and through_gateway and len(through_gateway) < len(incoming):
            flat_link = next(link for link in incoming if not link.has_gateway)
            rule = (
                f"{through_gateway[0].source} reaches {cluster} through its gateway and {flat_link.source} directly, "
                f"but a service has one export mode, so only {through_gateway[0].source} can call this service"
            )
            remedy = "set `exportMode: gateway`, or remote-discovery if all pods are on one network"
            self._errors.warn(path, cluster, rule, remedy)

    def _check_federated(self, path: Path, cluster: str, exported: Sequence[str]) -> None:
        if cluster in exported:
            rule = "Linkerd's controllers mirror an exported service, but do not add it to the federated service"
            remedy = "remove it from `exported`, because the federated service includes it, or remove it here"
            self._errors.add(path, cluster, rule, remedy)
        for link in self._links_between_networks(cluster):
            rule = (
                f"a federated service connects directly to its members' pods, which pods of {link.source} cannot "
                f"reach, because its link to {cluster} has a gateway"
            )
            self._errors.add(path, cluster, rule, self._network_remedy(link))

    def _links_between_networks(self, cluster: str) -> list[Link]:
        """Return the links to a cluster that use remote discovery, but whose pods cannot reach each other.

        A pod can reach pods of another cluster if both clusters name the same flat network.
        """
        incoming = [
            link for link in self._links if link.target == cluster and link.has_gateway and link.has_remote_discovery
        ]
        return [link for link in incoming if not has_shared_flat_network(self._parsed, link)]

    @staticmethod
    def _network_remedy(link: Link) -> str:
        return (
            f"set `gateway: false` on the link or the same networks.flat on {link.source} and {link.target} if their "
            "pods are on one network, or remove it"
        )
