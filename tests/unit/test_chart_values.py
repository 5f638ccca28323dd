"""Warnings about chart values in the stack file that a chart does not have."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pulumi
import pytest
import yaml

from hack import toolchain
from mesh import chart_repository, chart_values, config
from mesh.config.resolved import ChartValues
from tests.helpers.chart_archives import Files, build_archive, registry_responses, repository_responses, serve
from tests.helpers.cluster_settings import NEWER_RELEASE
from tests.helpers.mock_engine import RunProgram, record_run, without_secret_marks
from tests.helpers.stack_configs import shipped_config
from tests.helpers.stack_files import ERROR_FORMAT, Environment

# Programs and servers of the tests take seconds.
pytestmark = pytest.mark.thorough

SECRET = "a-secret-value"
CONTROL_PLANE = ("linkerd-control-plane", "1.16.11")
VALUES: dict[str, Any] = {
    "proxy": {"logLevel": "warn", "image": {"name": "proxy", "version": ""}, "resources": {"cpu": {"limit": ""}}},
    "podAnnotations": {},
    "nodeSelector": {"kubernetes.io/os": "linux"},
    "extra": None,
    "list": [],
    "args": {"first": 1},
    "controllerReplicas": 1,
}
TEMPLATE = """
{{- if .Values.identityResources }}{{ include "partials.proxy" . }}{{ end }}
{{- range $key, $value := .Values.args }}{{ $key }}={{ $value }}{{ end }}
{{- with .Values.pod.dns }}{{ toYaml . | nindent 2 }}{{- end }}
{{- if hasKey .Values.proxy "await" }}{{ end }}
"""
PARTIALS = """
{{- define "partials.proxy" -}}{{ .Values.proxy.accessLog }}{{ include "partials.metadata" . }}{{- end }}
{{- define "partials.metadata" -}}{{ .Values.cliVersion }}{{- end }}
{{- define "partials.unused" -}}{{ .Values.unused }}{{- end }}
"""
CHART: dict[str, Any] = {
    "Chart.yaml": {
        "name": "linkerd-control-plane",
        "version": "1.16.11",
        "dependencies": [{"name": "partials"}, {"name": "database", "alias": "db"}],
    },
    "values.yaml": VALUES,
    "values-ha.yaml": {"webhookFailurePolicy": "Fail"},
    "values.schema.json": {
        "$ref": "#/definitions/all",
        "definitions": {
            "all": {
                "properties": {
                    "fromSchema": {"type": "object", "properties": {"depth": {"type": "integer"}}},
                    "anything": {"type": "object", "additionalProperties": {"type": "string"}},
                    "recursive": {"$ref": "#/definitions/all"},
                }
            }
        },
    },
    "templates/deployment.yaml": TEMPLATE,
    "charts/partials/Chart.yaml": {"name": "partials", "version": "0.1.0"},
    "charts/partials/templates/_proxy.tpl": PARTIALS,
    "charts/partials/values.yaml": {"ofPartials": True},
}


def write_chart(folder: Path, name: str, version: str, files: Files) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / f"{name}-{version}.tgz").write_bytes(build_archive(name, version, files))
    return folder


def warnings_of(content: Mapping[str, Any], environment: Environment) -> list[str]:
    """Return the warnings about a stack with two linked clusters of Linkerd 2.14.10."""
    content = {
        "clusters": {"west": {}, "east": {}},
        "links": [{"source": "west", "target": "east"}],
        **content,
    }
    content.setdefault("linkerd", {}).setdefault("version", "2.14.10")
    stack = config.parse(content, environment)
    warnings = chart_values.find_unknown_values(stack.chart_values, stack.linkerd_release)
    assert all(ERROR_FORMAT.fullmatch(warning) for warning in warnings), warnings
    return warnings


def warnings_of_control_plane(values: Mapping[str, Any], source: Path | str, environment: Environment) -> list[str]:
    content = {
        "charts": {"repository": str(source)},
        "linkerd": {"values": {"linkerd-control-plane": dict(values)}},
    }
    return warnings_of(content, environment)


@pytest.fixture(scope="session")
def charts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the archive of a control plane chart."""
    return write_chart(tmp_path_factory.mktemp("charts"), *CONTROL_PLANE, CHART)


@pytest.mark.parametrize(
    ("values", "path", "remedy"),
    [
        ({"proxyy": {"logLevel": SECRET}}, "proxyy", "did you mean proxy?"),
        ({"proxy": {"logLevl": SECRET}}, "proxy.logLevl", "did you mean logLevel?"),
        ({"proxy": {"image": {"nmae": SECRET}}}, "proxy.image.nmae", "did you mean name?"),
        ({"proxy": {"logLevel": {"inner": SECRET}}}, "proxy.logLevel.inner", "remove it"),
        ({"proxy": {"awaitt": True}}, "proxy.awaitt", "did you mean await?"),
        ({"proxyy": None}, "proxyy", "did you mean proxy?"),
        ({"image": {"name": SECRET}}, "image", "move it to proxy.image"),
        (
            {"proxy.image.name": SECRET},
            '["proxy.image.name"]',
            "write it as nested keys: proxy: { image: { name: … } }",
        ),
        ({"fromSchema": {"depht": 1}}, "fromSchema.depht", "did you mean depth?"),
        ({"unused": SECRET}, "unused", "remove it, or choose one of …"),
        ({"ofPartials": SECRET}, "ofPartials", "did you mean partials?"),
    ],
)
def test_value_that_chart_lacks_is_reported(
    charts: Path, environment: Environment, values: dict[str, Any], path: str, remedy: str
) -> None:
    (warning,) = warnings_of_control_plane(values, charts, environment)

    separator = "" if path.startswith("[") else "."
    expected = (
        f"linkerd.values.linkerd-control-plane{separator}{path}: …: linkerd-control-plane 1.16.11 has no such value"
    )
    assert warning.startswith(expected)
    assert warning.partition("; ")[2].startswith(remedy.removesuffix("…"))
    assert SECRET not in warning


@pytest.mark.parametrize(
    "values",
    [
        VALUES,
        {"proxy": {"resources": {"ephemeral-storage": {"limit": "1Gi"}}}},
        {"podAnnotations": {"example.com/team": "mesh"}, "nodeSelector": {"disk": "ssd"}},
        {"extra": {"any": {"key": 1}}, "list": [{"name": "x"}], "args": {"second": 2}},
        {"webhookFailurePolicy": "Ignore", "identityResources": {"cpu": {"request": "10m"}}},
        {"proxy": {"accessLog": "apache", "await": True}, "cliVersion": "x", "pod": {"dns": {"nameservers": []}}},
        {"fromSchema": {"depth": 1}, "anything": {"x": "y"}, "recursive": {"recursive": {"anything": {"x": "y"}}}},
        {"global": {"x": 1}, "partials": {"x": 1}, "db": {"x": 1}},
        {"proxy": {}, "podAnnotations": None},
    ],
)
def test_values_that_chart_has_or_allows_are_accepted(
    charts: Path, environment: Environment, values: dict[str, Any]
) -> None:
    assert warnings_of_control_plane(values, charts, environment) == []


def test_warning_names_place_of_value(charts: Path, environment: Environment) -> None:
    content = {
        "charts": {"repository": str(charts)},
        "clusters": {"west": {}, "east": {"linkerd": {"values": {"linkerd-control-plane": {"proxi": 1}}}}},
        "linkerd": {"values": {"linkerd-control-plane": {"proxyy": 1}}},
    }

    paths = [warning.partition(": ")[0] for warning in warnings_of(content, environment)]

    assert paths == [
        "linkerd.values.linkerd-control-plane.proxyy",
        "clusters.east.linkerd.values.linkerd-control-plane.proxi",
    ]


def test_values_of_every_chart_are_checked(tmp_path: Path, environment: Environment) -> None:
    versions = {
        "linkerd-crds": "1.8.0",
        "linkerd-control-plane": "1.16.11",
        "linkerd2-cni": "30.12.2",
        "linkerd-multicluster": "30.11.11",
        "linkerd-viz": "30.12.11",
        "linkerd-jaeger": "30.12.11",
        "linkerd-smi": "2.0.0",
        "metallb": "0.15.2",
        "ingress-nginx": "4.13.3",
        "cilium": "1.17.4",
    }
    for name, version in versions.items():
        write_chart(tmp_path, name, version, {"values.yaml": {"known": 1}})
    linkerd_charts = [name for name in versions if name.startswith("linkerd")]
    values = {"knwon": 1}
    content = {
        "charts": {"repository": str(tmp_path)},
        "clusters": {"west": {"cilium": {"id": 1, "values": {"kknown": 1}}}, "east": {"cilium": {"id": 2}}},
        "linkerd": {"cni": True, "values": {**dict.fromkeys(linkerd_charts, values), "service-mirror": {"replica": 2}}},
        "cilium": {"version": versions["cilium"], "values": values},
        "extensions": {
            "viz": True,
            "jaeger": ["west"],
            "smi": {"version": versions["linkerd-smi"]},
            "metallb": {
                "pools": {"west": ["192.0.2.1-192.0.2.9"]},
                "version": versions["metallb"],
                "values": values,
            },
            "ingressNginx": {"version": versions["ingress-nginx"], "values": values},
        },
    }

    warnings = warnings_of(content, environment)

    expected = [
        *(f"linkerd.values.{name}.knwon: …: {name} {versions[name]} has" for name in linkerd_charts),
        "linkerd.values.service-mirror.replica: …: the service mirror of Linkerd 2.14.10 has",
        f"extensions.metallb.values.knwon: …: metallb {versions['metallb']} has",
        f"extensions.ingressNginx.values.knwon: …: ingress-nginx {versions['ingress-nginx']} has",
        f"cilium.values.knwon: …: cilium {versions['cilium']} has",
        f"clusters.west.cilium.values.kknown: …: cilium {versions['cilium']} has",
    ]
    assert [warning.partition(" no such")[0] for warning in warnings] == expected
    assert all("; did you mean " in warning for warning in warnings)


@pytest.mark.parametrize(("version", "has_tag"), [("2.17", True), ("2.18", False), ("2.20", False)])
def test_service_mirror_values_depend_on_generation(environment: Environment, version: str, has_tag: bool) -> None:
    values = {"enableHeadlessServices": True, "replicas": 2, "resources": {"limits": {"memory": "50Mi"}}, "replica": 2}
    content = {"linkerd": {"version": version, "values": {"service-mirror": values}}}

    warnings = warnings_of(content, environment)

    paths = [warning.partition(": ")[0].rpartition(".")[2] for warning in warnings]
    assert paths == (["replica"] if has_tag else ["enableHeadlessServices", "replica"])


def test_chart_version_decides(tmp_path: Path, environment: Environment) -> None:
    write_chart(tmp_path, "metallb", "0.14.9", {"values.yaml": {"old": 1}})
    write_chart(tmp_path, "metallb", "0.15.2", {"values.yaml": {"new": 1}})

    def unknown(version: str) -> list[str]:
        metallb = {
            "pools": {"west": ["192.0.2.1-192.0.2.9"]},
            "version": version,
            "values": {"old": 1, "new": 1},
        }
        content = {"charts": {"repository": str(tmp_path)}, "extensions": {"metallb": metallb}}
        return [warning.partition(":")[0].rpartition(".")[2] for warning in warnings_of(content, environment)]

    assert (unknown("0.14.9"), unknown("0.15.2")) == (["new"], ["old"])


def test_repository_archives_are_read_once(environment: Environment) -> None:
    archives = {
        CONTROL_PLANE: build_archive(*CONTROL_PLANE, CHART),
        ("linkerd-control-plane", "1.16.10"): build_archive(*CONTROL_PLANE, {"values.yaml": {}}),
        ("linkerd-crds", "v1.8.0"): build_archive("linkerd-crds", "v1.8.0", {"values.yaml": {}}),
    }
    values = {"linkerd-control-plane": {"proxyy": 1}, "linkerd-crds": {"x": 1}}

    with serve(repository_responses(archives)) as (host, requests):
        content = {
            "charts": {"repository": f"http://{host}/charts/"},
            "clusters": {"west": {"linkerd": {"values": values}}, "east": {"linkerd": {"values": values}}},
        }
        warnings = warnings_of(content, environment)

    assert [warning.partition(": ")[0].rpartition(".")[2] for warning in warnings] == ["proxyy", "x"] * 2
    assert sorted(requests) == [
        "/charts/archives/linkerd-control-plane-1.16.11.tgz",
        "/charts/archives/linkerd-crds-v1.8.0.tgz",
        "/charts/index.yaml",
    ]


@pytest.mark.parametrize(
    "index",
    [
        # Helm's own form, another valid form, and one whose entries use an anchor of another chart.
        "entries:\n  a:\n  - version: 1.16.11\n    urls: [bad]\n  {name}:\n  - version: 1.16.11\n    urls: [{url}]\n",
        "{{entries: {{{name}: [{{version: 1.16.11, urls: [{url}]}}]}}}}",
        "entries:\n  other:\n  - &a {{version: 1.16.11, urls: [{url}]}}\n  {name}:\n  - *a\n",
    ],
)
def test_archive_is_found_in_every_form_of_index(environment: Environment, index: str) -> None:
    archive = build_archive(*CONTROL_PLANE, CHART)
    files = {
        "/index.yaml": index.format(name=CONTROL_PLANE[0], url="x/chart.tgz").encode(),
        "/x/chart.tgz": archive,
    }

    with serve(lambda path, _: (200, {}, files[path]) if path in files else (404, {}, b"")) as (host, _):
        warnings = warnings_of_control_plane({"proxyy": 1}, f"http://{host}", environment)

    assert [warning.partition("; ")[2] for warning in warnings] == ["did you mean proxy?"]


@pytest.mark.parametrize("needs_token", [True, False])
def test_chart_in_public_oci_registry_is_checked(environment: Environment, needs_token: bool) -> None:
    responses = registry_responses({CONTROL_PLANE: build_archive(*CONTROL_PLANE, CHART)}, needs_token=needs_token)

    with serve(responses) as (host, _):
        warnings = warnings_of_control_plane({"proxyy": 1}, f"oci://{host}/charts", environment)

    assert [warning.partition("; ")[2] for warning in warnings] == ["did you mean proxy?"]


def test_oci_token_stays_with_registry(environment: Environment) -> None:
    archive = build_archive(*CONTROL_PLANE, CHART)
    received: list[Mapping[str, str]] = []

    def store(path: str, headers: Mapping[str, str]) -> tuple[int, dict[str, str], bytes]:
        received.append(headers)
        return 200, {}, archive

    with serve(store) as (storage, _):
        registry = registry_responses({CONTROL_PLANE: archive})

        def redirect(path: str, headers: Mapping[str, str]) -> tuple[int, Mapping[str, str], bytes]:
            status, other, body = registry(path, headers)
            if status == 200 and "/blobs/" in path:
                return 307, {"Location": f"http://{storage}/blob"}, b""
            return status, other, body

        with serve(redirect) as (host, _):
            warnings = warnings_of_control_plane({"proxyy": 1}, f"oci://{host}/charts", environment)

    assert [warning.partition("; ")[2] for warning in warnings] == ["did you mean proxy?"]
    assert ["Authorization" in headers for headers in received] == [False]


def test_registry_with_credentials_is_one_warning(environment: Environment) -> None:
    responses = registry_responses({}, accepts_anonymous=False)

    with serve(responses) as (host, _):
        (warning,) = warnings_of_control_plane({"proxyy": SECRET}, f"oci://{host}/charts", environment)

    assert "the values were not checked, because linkerd-control-plane 1.16.11 cannot be read (oci://" in warning
    assert "Unauthorized" in warning
    assert SECRET not in warning


def test_warning_hides_credentials_in_index(environment: Environment) -> None:
    with serve(lambda _, __: (200, {}, index.encode())) as (host, _):
        url = f"http://user:{SECRET}@{host}/chart.tgz?token={SECRET}"
        index = f"entries:\n  {CONTROL_PLANE[0]}:\n  - version: {CONTROL_PLANE[1]}\n    urls: ['{url}']\n"
        (warning,) = warnings_of_control_plane({"x": 1}, f"http://{host}", environment)

    assert f"cannot be read (http://…@{host}/chart.tgz: " in warning
    assert SECRET not in warning


def test_unreadable_chart_is_one_warning(tmp_path: Path, environment: Environment) -> None:
    (tmp_path / "linkerd-control-plane-1.16.11.tgz").write_bytes(b"not an archive")
    write_chart(tmp_path, "linkerd-crds", "1.8.0", {"values.yaml": "- a: [\n"})
    values = {
        "linkerd-control-plane": {"x": SECRET},
        "linkerd-crds": {"x": SECRET},
        "linkerd-multicluster": {"x": SECRET},
    }
    content = {"charts": {"repository": str(tmp_path)}, "linkerd": {"values": values}}

    warnings = warnings_of(content, environment)

    assert [warning.partition(": ")[0] for warning in warnings] == [f"linkerd.values.{name}" for name in values]
    assert ["values.yaml: not YAML" in warning for warning in warnings] == [False, True, False]
    assert "linkerd-multicluster-30.11.11.tgz: No such file or directory" in warnings[2]
    assert SECRET not in "".join(warnings)


def test_silent_chart_source_delays_preview_briefly(environment: Environment, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chart_values, "READ_TIMEOUT_S", 0.2)
    released = threading.Event()

    def wait(path: str, headers: Mapping[str, str]) -> tuple[int, dict[str, str], bytes]:
        released.wait(30)
        return 404, {}, b""

    with serve(wait) as (host, _):
        try:
            (warning,) = warnings_of_control_plane({"proxyy": 1}, f"http://{host}", environment)
        finally:
            released.set()

    assert "no result within 0.2 seconds" in warning


def test_schema_of_any_size_is_read_in_bounded_time(tmp_path: Path, environment: Environment) -> None:
    definitions = {f"d{number}": {"allOf": [{"$ref": f"#/definitions/d{number + 1}"}] * 9} for number in range(30)}
    schema = {"definitions": definitions, "$ref": "#/definitions/d0"}
    write_chart(tmp_path, *CONTROL_PLANE, {"values.schema.json": schema})

    (warning,) = warnings_of_control_plane({"x": 1}, tmp_path, environment)

    assert "values.schema.json: more than" in warning


@pytest.mark.parametrize(
    "content",
    [
        {},
        {"linkerd": {"values": {"linkerd-control-plane": {}}}},
        # Charts that the stack does not install.
        {"linkerd": {"values": {"linkerd-viz": {"x": 1}, "linkerd2-cni": {"x": 1}, "linkerd-smi": {"x": 1}}}},
        {"extensions": {"ingressNginx": {"install": False, "values": {"x": 1}}}},
        {"clusters": {"west": {}}, "links": [], "linkerd": {"values": {"linkerd-multicluster": {"x": 1}}}},
    ],
)
def test_no_chart_is_read_without_values(
    environment: Environment, monkeypatch: pytest.MonkeyPatch, content: dict[str, Any]
) -> None:
    monkeypatch.setattr(chart_repository, "read_charts", lambda *_: pytest.fail("a chart was read"))

    assert warnings_of(content, environment) == []


def test_program_logs_warnings(charts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    logged: list[str] = []
    monkeypatch.setattr(pulumi.log, "warn", logged.append)
    content = {
        "clusters": {"west": {}},
        "charts": {"repository": str(charts)},
        "linkerd": {"version": "2.14.10", "values": {"linkerd-control-plane": {"proxyy": 1}}},
    }

    record_run(content, (), tmp_path / "kubeconfig", monkeypatch)

    assert [warning.partition(": ")[0] for warning in logged if "proxyy" in warning] == [
        "linkerd.values.linkerd-control-plane.proxyy"
    ]


def read_toolchain_charts() -> dict[str, Path]:
    """Return the archives of the charts that the toolchain has built, by file name."""
    archives: dict[str, Path] = {}
    for artifact in ("charts", "cilium", "linkerd-2.14.10", "linkerd-2.13.5"):
        try:
            folder = Path(toolchain.installed(artifact)) / "charts"
        except LookupError:
            continue
        archives |= {path.name: path for path in sorted(folder.glob("*.tgz"))}
    return archives


def unknown_values(archive: Path, values: Mapping[str, Any]) -> list[str]:
    """Return the paths of the values that a published chart lacks."""
    name, _, version = archive.stem.rpartition("-")
    chart = ChartValues(path=("values",), chart=name, version=version, source=str(archive.parent), values=dict(values))
    return [warning.partition(": ")[0] for warning in chart_values.find_unknown_values([chart], NEWER_RELEASE)]


PUBLISHED = read_toolchain_charts()
# By name and minor version.
NEWEST_PATCHES = {path.stem.rpartition(".")[0]: path for path in PUBLISHED.values()}
REQUIRES_TOOLCHAIN = pytest.mark.skipif(not PUBLISHED, reason="the toolchain is not built")


@REQUIRES_TOOLCHAIN
@pytest.mark.parametrize("archive", NEWEST_PATCHES.values(), ids=NEWEST_PATCHES.keys())
def test_published_chart_has_its_own_values(archive: Path) -> None:
    name, _, version = archive.stem.rpartition("-")
    files = chart_repository.read_charts(str(archive.parent), [(name, version)])[name, version]
    assert not isinstance(files, str), files
    values = yaml.safe_load(files["values.yaml"]) or {}

    assert unknown_values(archive, {**values, "noSuchValue": 1}) == ["values.noSuchValue"]


@REQUIRES_TOOLCHAIN
@pytest.mark.parametrize("stack", ["dev", "openstack-nks", "kpaas", "east-west", "clustermesh", "emojivoto"])
def test_published_charts_have_values_of_program(run: RunProgram, stack: str) -> None:
    releases = without_secret_marks(run(shipped_config(stack)).inputs_of("helm.sh/v3:Release"))
    archives = {
        name: PUBLISHED.get(f"{release['chart']}-{release['version']}.tgz")
        for name, release in releases.items()
        # The toolchain's chart linkerd-smi stands in for the published one.
        if release.get("version") and release["chart"] != "linkerd-smi"
    }

    if not any(archives.values()):
        pytest.skip("the toolchain has not built these charts")
    unknown = {name: unknown_values(path, releases[name]["values"]) for name, path in archives.items() if path}
    assert {name: values for name, values in unknown.items() if values} == {}


@REQUIRES_TOOLCHAIN
@pytest.mark.parametrize(
    ("archive", "values", "unknown"),
    [
        ("linkerd-control-plane-1.16.11.tgz", {"proxyy": {}, "proxy": {"logLevl": "x"}}, ["proxyy", "proxy.logLevl"]),
        # In README and templates only.
        (
            "linkerd-control-plane-1.16.11.tgz",
            {"tolerations": [], "nodeAffinity": {"x": 1}, "identityResources": {"cpu": {}}, "proxy": {"accessLog": ""}},
            [],
        ),
        # The templates of `partials` read them, but this chart does not include these templates.
        (
            "linkerd-multicluster-30.11.11.tgz",
            {"proxy": {"logLevel": "x"}, "tolerations": []},
            ["proxy", "tolerations"],
        ),
        ("linkerd-multicluster-30.11.11.tgz", {"gateway": {"probe": {"secondss": 5}}}, ["gateway.probe.secondss"]),
        # The template renders each key as an argument.
        (
            "linkerd-viz-30.12.11.tgz",
            {"prometheus": {"args": {"log.level": "x"}, "enabeld": True}},
            ["prometheus.enabeld"],
        ),
        (
            "ingress-nginx-4.11.0.tgz",
            {
                "controller": {"replicas": 2, "config": {"a": "b"}, "service": {"healthCheckNodePort": 1}},
                "tcp": {"1": "x"},
            },
            ["controller.replicas"],
        ),
        ("metallb-0.14.9.tgz", {"speaker": {"frrr": {}}, "frr-k8s": {"x": 1}, "crds": {"x": 1}}, ["speaker.frrr"]),
        ("cilium-1.19.0.tgz", {"bpf": {"masqerade": True}, "extraConfig": {"a": "b"}}, ["bpf.masqerade"]),
        ("cilium-1.14.1.tgz", {"kubeProxyReplacemnt": True, "kubeProxyReplacement": True}, ["kubeProxyReplacemnt"]),
    ],
)
def test_unknown_values_of_published_charts_are_found(archive: str, values: dict[str, Any], unknown: list[str]) -> None:
    if archive not in PUBLISHED:
        pytest.skip("the toolchain has not built this chart")

    assert unknown_values(PUBLISHED[archive], values) == [f"values.{path}" for path in unknown]
