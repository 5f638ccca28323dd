"""Answers of the data plane's DNS."""

from typing import Any

from dnslib import QTYPE, RCODE, DNSRecord

from hack.lab.dataplane.dns import Endpoint, answer, parse_name, ready_endpoints

ENDPOINTS = [
    Endpoint(address="10.1.0.10", host="10-1-0-10", ports=(("grpc", 8080),)),
    Endpoint(address="10.1.0.11", host="db-0", ports=(("grpc", 8080),)),
]


def resolve(name: str, kind: str = "A", service: dict[str, Any] | None = None) -> tuple[str, list[str]]:
    request = DNSRecord.question(name, kind)
    parsed = parse_name(name)
    assert parsed is not None
    reply = answer(request, parsed, service, ENDPOINTS)
    return RCODE[reply.header.rcode], [f"{QTYPE[record.rtype]} {record.rdata}" for record in reply.rr]


def service(cluster_ip: str) -> dict[str, Any]:
    return {"metadata": {"name": "web"}, "spec": {"clusterIP": cluster_ip, "ports": [{"name": "http", "port": 80}]}}


def test_service_has_its_cluster_ip() -> None:
    assert resolve("web.shop.svc.cluster.local", service=service("10.128.0.9")) == ("NOERROR", ["A 10.128.0.9"])


def test_other_cluster_domain_is_answered_too() -> None:
    assert resolve("web.shop.svc.west.example.org", service=service("10.128.0.9"))[1] == ["A 10.128.0.9"]


def test_unknown_service_does_not_exist() -> None:
    assert resolve("web.shop.svc.cluster.local") == ("NXDOMAIN", [])


def test_service_has_no_ipv6_address() -> None:
    assert resolve("web.shop.svc.cluster.local", "AAAA", service("10.128.0.9")) == ("NOERROR", [])


def test_headless_service_has_addresses_of_pods() -> None:
    assert resolve("web.shop.svc.cluster.local", service=service("None"))[1] == ["A 10.1.0.10", "A 10.1.0.11"]
    assert resolve("db-0.web.shop.svc.cluster.local", service=service("None"))[1] == ["A 10.1.0.11"]


def test_headless_service_has_ports_of_pods() -> None:
    _, records = resolve("_grpc._tcp.web.shop.svc.cluster.local", "SRV", service("None"))
    assert records == [
        "SRV 0 100 8080 10-1-0-10.web.shop.svc.cluster.local.",
        "SRV 0 100 8080 db-0.web.shop.svc.cluster.local.",
    ]


def test_names_of_no_service_are_left_to_the_lab() -> None:
    assert parse_name("lb.west.example.com") is None
    assert parse_name("web.svc.cluster.local") is None
    assert parse_name("web.shop.svc.cluster.local.shop.svc.cluster.local") is None


def test_unready_endpoints_are_published_on_request_only() -> None:
    item = {
        "metadata": {"labels": {"kubernetes.io/service-name": "web"}},
        "ports": [{"name": "http", "port": 80}],
        "endpoints": [
            {"addresses": ["10.1.0.10"], "conditions": {"ready": True}},
            {"addresses": ["10.1.0.11"], "conditions": {"ready": False}},
        ],
    }
    headless = service("None")
    assert [each.address for each in ready_endpoints(headless, iter([item]))] == ["10.1.0.10"]
    headless["spec"]["publishNotReadyAddresses"] = True
    assert [each.address for each in ready_endpoints(headless, iter([item]))] == ["10.1.0.10", "10.1.0.11"]
