"""Settings: what a stack file may say, and what is said of one that it may not.

The corpus in `testdata/settings` has a whole stack file for each thing that can be said, or said wrongly. Comments in
it say what comes of it: `# expect: <path> = <value>` of a valid one, `# expect: <fault>` for each fault of an invalid
one, in order, where `…` may stand for anything. Pulumi's secrets are `secure: <name>` there, and other texts that are
made for each run `<name>`: see `texts`.
"""

from __future__ import annotations

import base64
import json
import re
import time
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from functools import cache, partial
from pathlib import Path
from typing import Any

import pulumi
import pytest
import yaml
from cryptography.hazmat.primitives.asymmetric import rsa
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from pydantic import BaseModel

import kubeconfig
import settings
from settings import schema
from settings.definition import TOP
from tests import kubeconfigs
from tests.authority import DAY, Authority, begins, pem

CHECKOUT = Path(__file__).parents[1]
CORPUS = Path(__file__).parent / "testdata" / "settings"

Environment = dict[str, str]

# `path: value: rule; remedy`, on one line.
FAULT = re.compile(r'(\.?[\w$/*…-]+|\[(\d+|"(?:[^"\\]|\\.)*")\])+: .+: .+; .+')


class StackYaml(yaml.SafeLoader):
    """YAML as Pulumi reads it: dates, and words such as `no`, are texts."""


StackYaml.yaml_implicit_resolvers = {
    first: [(tag, shape) for tag, shape in resolvers if not tag.endswith((":bool", ":timestamp"))]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
StackYaml.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile(r"true|True|TRUE|false|False|FALSE"), list("tTfF"))


def expected(file: Path) -> list[str]:
    return re.findall(r"^# expect: (.*)$", file.read_text(), re.MULTILINE)


def content(file: Path) -> Any:
    return yaml.load(file.read_text(), StackYaml)


cached = cache(content)


def decoded(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def handed_over(stack_file: Any, texts: Mapping[str, str]) -> tuple[dict[str, str], list[str]]:
    """A stack file as Pulumi hands it to the program: its configuration, and the keys that hold secrets."""
    config = stack_file.get("config") if isinstance(stack_file, dict) else None
    found: dict[str, str] = {}
    secret: list[str] = []
    # Pulumi itself refuses a file, or a `config`, that is no mapping; to the program it would be as good as empty.
    for key, value in config.items() if isinstance(config, dict) else ():
        name = key if ":" in key else f"{settings.PROJECT}:{key}"
        names: set[str] = set()
        plain = revealed(value, texts, names)
        found[name] = "" if plain is None else plain if isinstance(plain, str) else json.dumps(plain)
        secret += [name] if names else []
    return found, secret


def revealed(value: Any, texts: Mapping[str, str], secret: set[str]) -> Any:
    if isinstance(value, dict):
        if value.keys() == {"secure"} and isinstance(value["secure"], str):
            secret.add(value["secure"])
            return texts[value["secure"]]
        return {str(key): revealed(item, texts, secret) for key, item in value.items()}
    if isinstance(value, list):
        return [revealed(item, texts, secret) for item in value]
    named = re.fullmatch(r"<([\w.-]+)>", value) if isinstance(value, str) else None
    return texts[named[1]] if named else value


# The same files for nearly all tests.
read_once = cache(kubeconfig.read)


def load(config: Mapping[str, str], secret: list[str], environment: Environment) -> settings.Settings:
    """What the program itself does."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kubeconfig, "read", read_once)
        patch.setattr(pulumi, "get_project", lambda: settings.PROJECT)
        patch.delenv("MULTICLUSTER_MESH_CHARTS", raising=False)
        for name, value in environment.items():
            patch.setenv(name, value)
        patch.setenv("PULUMI_CONFIG", json.dumps(config))
        patch.setenv("PULUMI_CONFIG_SECRET_KEYS", json.dumps(secret))
        patch.chdir(environment["HOME"])
        return settings.load()


def faults(config: dict[str, Any], environment: Environment, secret: tuple[str, ...] = ()) -> tuple[str, ...]:
    with pytest.raises(settings.SettingsError) as caught:
        settings.parse(config, environment, secret)
    return caught.value.faults


# What the corpus needs beside its own files.


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("home")
    (home / "charts").mkdir()
    (home / "fleet").mkdir()
    for name, text in KUBECONFIGS.items():
        (home / "fleet" / name).write_text(text)
    return home


@pytest.fixture(scope="session")
def environment(home: Path) -> Environment:
    """The environment of all tests here; its kubeconfig has a context for each name that they use."""
    lab = [{"name": "multicluster-mesh.lab", "extension": {"loopbackPeers": True}}]
    found = kubeconfigs.write(
        home / "kubeconfig",
        west={"server": "https://192.0.2.1:6443", "certificate-authority-data": "Q0E="},
        east={"server": "https://east.example.com"},
        north={"server": "https://[2001:db8::1]:6443"},
        local={"server": "https://127.0.0.1:6443"},
        lab={"server": "https://127.0.0.1:6443", "extensions": lab},
        plain={"server": "http://10.0.0.7:8080"},
        torn={"server": "https://[2001:db8::1"},
        rancher={"server": "https://rancher.example.com/k8s/clusters/c-m-9xq2v7dk"},
    )
    return {**found, "HOME": str(home)}


@pytest.fixture(scope="session")
def small(home: Path) -> Environment:
    """An environment whose kubeconfig is read in no time."""
    return {**kubeconfigs.write(home / "small", west={"server": "https://192.0.2.1:6443"}), "HOME": str(home)}


SOUTH = kubeconfigs.text({"admin@south": {"server": "https://south.example.com"}}, current="admin@south")
CLOUDS = {
    "arn:aws:eks:eu-central-1:123456789012:cluster/prod": "https://ABCDEF0123.gr7.eu-central-1.eks.amazonaws.com",
    "gke_project_europe-west3_east": "https://203.0.113.9",
}
KUBECONFIGS = {
    "clouds.yaml": kubeconfigs.text({name: {"server": server} for name, server in CLOUDS.items()}),
    "south.yaml": SOUTH,
    "two.yaml": kubeconfigs.text(
        {"one": {"server": "https://1.example.com"}, "two": {"server": "https://2.example.com"}}
    ),
    "empty.yaml": "",
    "list.yaml": "- a list\n",
    "broken.yaml": f"users:\n- name: someone\n  user: {{token: {kubeconfigs.TOKEN}\n",
}


@pytest.fixture(scope="session")
def texts() -> dict[str, str]:
    """The texts that the corpus only names: nothing expires, and no key is kept."""
    begin, yesterday, end = (datetime.now(UTC) + days * DAY for days in (-60, -1, 30))
    identity = "identity.linkerd.cluster.local"
    anchor = partial(Authority, begin=begin, end=end)
    root, other = anchor(), anchor()
    issuer = partial(anchor, name=identity, signer=root)
    found = {
        "root": root,
        "other": other,
        "old": anchor(end=yesterday),
        "leaf": anchor(ca=False),
        "west": issuer(),
        "east": issuer(),
        "elsewhere": issuer(name="identity.mesh.corp.example"),
        "strange": issuer(signer=other),
        "old-west": issuer(end=yesterday),
        "leaf-west": issuer(ca=False),
        "rsa-west": issuer(key=rsa.generate_private_key(public_exponent=65537, key_size=2048)),
    }
    pull = {"auths": {"registry.example.com": {"auth": base64.b64encode(b"robot:pull-password").decode()}}}
    no_file = {"server": "https://south.example.com", "certificate-authority": f"{kubeconfigs.TOKEN}.crt"}
    return {
        **{f"{name}.crt": each.pem for name, each in found.items()},
        **{f"{name}.key": each.private for name, each in found.items()},
        "encrypted.key": pem(root.key, password=b"password"),
        "both.crt": other.pem + root.pem,
        "cut.crt": root.pem[:200],
        "pull.json": json.dumps(pull),
        "pull.base64": base64.b64encode(json.dumps(pull).encode()).decode(),
        "token": kubeconfigs.TOKEN,
        "blank": " \n",
        "south": SOUTH,
        "two": KUBECONFIGS["two.yaml"],
        "broken": KUBECONFIGS["broken.yaml"],
        "authority-in-a-file": kubeconfigs.text({"south": no_file}),
    }


# The corpus.


@pytest.mark.parametrize("file", sorted(CORPUS.glob("invalid-*.yaml")), ids=lambda file: file.stem)
def test_an_invalid_stack_file_is_refused_with_all_its_faults(
    file: Path, environment: Environment, texts: dict[str, str]
) -> None:
    config, secret = handed_over(content(file), texts)

    with pytest.raises(settings.SettingsError) as caught:
        load(config, secret, environment)

    found = caught.value.faults
    shapes = [".*".join(map(re.escape, line.split("…"))) for line in expected(file)]
    assert len(found) == len(shapes), "\n".join(found)
    for fault, shape in zip(found, shapes, strict=True):
        assert FAULT.fullmatch(fault), fault
        assert re.fullmatch(shape, fault), fault
    assert not [line for line in secret_lines(texts) if line in str(caught.value)]


@pytest.mark.parametrize("file", sorted(CORPUS.glob("valid-*.yaml")), ids=lambda file: file.stem)
def test_a_valid_stack_file_comes_to_what_it_says(file: Path, environment: Environment, texts: dict[str, str]) -> None:
    config, secret = handed_over(content(file), texts)

    loaded = load(config, secret, environment)

    assert expected(file), "say what comes of it"
    for line in expected(file):
        path, _, value = line.partition(" = ")
        assert outcome(loaded, path) == revealed(yaml.load(value, StackYaml), texts, set()), path


def test_the_corpus_is_as_large_as_it_should_be() -> None:
    assert len(list(CORPUS.glob("invalid-*.yaml"))) >= 75
    assert len(list(CORPUS.glob("valid-*.yaml"))) >= 25


def secret_lines(texts: Mapping[str, str]) -> Iterator[str]:
    """Every line of what is secret in the corpus, long enough not to be anywhere by chance."""
    for name, text in texts.items():
        if not name.endswith(".crt"):
            yield from (line for line in text.splitlines() if len(line) > 40 and not line.startswith("-----"))
    yield kubeconfigs.TOKEN


def outcome(loaded: settings.Settings, path: str) -> Any:
    """What the settings have at a path, written as in a stack file: `clusters.west.gateway.loadBalancer.enabled`."""
    first, *rest = path.split(".")
    found: Any = {
        "clusters": {cluster.name: cluster for cluster in loaded.clusters},
        "links": [link.name for link in loaded.links],
        "flat": [link.name for link in loaded.links if not link.gateway],
    }.get(first)
    found = found if found is not None else getattr(loaded, snake(first))
    for part in rest:
        if isinstance(found, tuple):
            found = found[int(part)]
        else:
            found = found[part] if isinstance(found, dict) and part in found else getattr(found, snake(part))
    return plain(list(found) if first == "clusters" and not rest else found)


def snake(key: str) -> str:
    return re.sub(r"(?=[A-Z])", "_", key).lower()


def plain(value: Any) -> Any:
    if isinstance(value, BaseModel):
        return value.model_dump(by_alias=True, exclude_unset=True)
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return value.get_secret_value() if hasattr(value, "get_secret_value") else value


# What no file of the corpus can show.


@pytest.mark.parametrize("file", sorted(CHECKOUT.glob("Pulumi.*.yaml")), ids=lambda file: file.name)
def test_every_shipped_stack_file_loads(file: Path, tmp_path: Path) -> None:
    config, secret = handed_over(content(file), {})
    clusters = json.loads(config[f"{settings.PROJECT}:clusters"])
    contexts = [(value or {}).get("context", name) for name, value in clusters.items()]
    servers = {context: {"server": f"https://{context}.example.com"} for context in contexts}

    environment = kubeconfigs.write(tmp_path / "kubeconfig", **servers) | {"HOME": str(tmp_path)}

    assert load(config, secret, environment).clusters


def test_the_project_may_have_another_name(environment: Environment, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pulumi, "get_project", lambda: "our-mesh")
    monkeypatch.setenv("KUBECONFIG", environment["KUBECONFIG"])
    monkeypatch.setenv("PULUMI_CONFIG", json.dumps({"our-mesh:clusters": '{"west": {}}', "aws:region": "eu-west-1"}))
    monkeypatch.setenv("PULUMI_CONFIG_SECRET_KEYS", json.dumps(["aws:region"]))

    assert [cluster.name for cluster in settings.load().clusters] == ["west"]


def test_a_whole_key_may_be_one_secret(environment: Environment) -> None:
    config = {"clusters": '{"south": {}}', "kubeconfigs": json.dumps({"south": SOUTH})}

    loaded = load({f"{settings.PROJECT}:{key}": value for key, value in config.items()}, SECRET_KEYS, environment)

    assert loaded.clusters[0].kubeconfig == SOUTH


def test_charts_come_from_the_setting_else_from_the_environment(environment: Environment) -> None:
    mirror = {**environment, "MULTICLUSTER_MESH_CHARTS": "http://mirror.example.com/charts"}
    named = {"clusters": {"west": {}}, "charts": {"repository": "https://charts.example.com"}}

    assert settings.parse({"clusters": {"west": {}}}, mirror).charts == "http://mirror.example.com/charts"
    assert settings.parse(named, mirror).charts == "https://charts.example.com"
    assert faults({"clusters": {"west": {}}}, {**mirror, "MULTICLUSTER_MESH_CHARTS": "/no/folder"}) == (
        '$MULTICLUSTER_MESH_CHARTS: "/no/folder": neither the URL of charts nor a folder that is there; '
        "set it to one of them, or unset it",
    )


def test_a_missing_kubeconfig_is_a_fault_of_every_context(tmp_path: Path) -> None:
    path = tmp_path / "none"

    assert faults({"clusters": {"west": {}, "east": {}}}, {"KUBECONFIG": str(path)}) == tuple(
        f'clusters.{name}.context: "{name}": no such context in {path} (known: none); '
        "set $KUBECONFIG to a file that has it"
        for name in ("west", "east")
    )


@pytest.mark.parametrize(
    "text", [b"[", b"\xff\xfe\x00", b"- a list", b"clusters: yes", b"&a [*a, *a]", b"!!bool x", b"!!int _"]
)
def test_a_broken_kubeconfig_is_named_once_without_a_traceback(tmp_path: Path, text: bytes) -> None:
    path = tmp_path / "kubeconfig"
    path.write_bytes(text)

    found = faults({"clusters": {"west": {}, "east": {}}}, {"KUBECONFIG": str(path)})

    assert len(found) == 1
    assert found[0].startswith(f'$KUBECONFIG: "{path}": ')
    assert FAULT.fullmatch(found[0])


@pytest.mark.parametrize("path", ["~nobody-has-this-name/config", "x" * 5000, "a\x00b"])
def test_a_path_that_can_not_be_is_a_file_that_is_not_there(environment: Environment, path: str) -> None:
    clusters: dict[str, Any] = {"west": {}}

    assert "no such file; " in faults({"clusters": {"west": {"kubeconfig": path}}}, environment)[0]
    assert "nor a folder" in faults({"clusters": clusters, "charts": {"repository": path}}, environment)[0]
    assert FAULT.fullmatch(faults({"clusters": clusters}, {"KUBECONFIG": path})[0])


@pytest.mark.parametrize(
    ("key", "everywhere", "here"),
    [
        ("namespace", "mesh", "linkerd"),
        ("clusterDomain", "cluster.one", "cluster.two"),
        ("trustDomain", "mesh.example.com", "east.example.com"),
        ("highAvailability", True, False),
        ("cni", True, False),
        ("defaultInboundPolicy", "deny", "all-unauthenticated"),
        ("nodeSelector", {"zone": "a"}, {}),
        ("tolerations", [{"key": "infra"}], []),
        ("registry", "registry.example.com", None),
        ("imagePullSecrets", ["everywhere"], ["here"]),
    ],
)
def test_a_cluster_overrides_the_meshs_linkerd_setting_by_setting(
    environment: Environment, key: str, everywhere: Any, here: Any
) -> None:
    clusters: dict[str, Any] = {"west": {}, "east": {"linkerd": {key: here}}, "north": {"linkerd": {"values": {}}}}
    mesh = {key: everywhere, "values": {"linkerd-crds": {"a": 1}}}

    found = settings.parse({"clusters": clusters, "linkerd": mesh}, environment).clusters

    assert [plain(each.linkerd)[key] for each in found] == [everywhere, here, everywhere]
    assert [each.values("linkerd-crds") for each in found] == [{"a": 1}] * 3


def test_values_are_merged_as_helm_merges_them() -> None:
    under = {"proxy": {"cores": 1, "image": {"name": "proxy"}}, "list": [1, 2], "text": "x", "gone": {"a": 1}}
    over = {"proxy": {"image": {"version": "2"}, "cores": None}, "list": [3], "text": {"b": 1}, "gone": None}

    assert settings.merged(under, over) == {
        "proxy": {"cores": None, "image": {"name": "proxy", "version": "2"}},
        "list": [3],
        "text": {"b": 1},
        "gone": None,
    }
    assert under["proxy"] == {"cores": 1, "image": {"name": "proxy"}}
    assert settings.overridden(over) == ["proxy.image.version", "proxy.cores", "list", "text.b", "gone"]


def test_thousands_of_faults_are_told_in_no_time(environment: Environment) -> None:
    links = [{"source": "west"}, {"source": "west", "target": "nobody"}, {"loadBalancer": 1}] * 1000

    started = time.monotonic()
    found = faults({"clusters": {"west": {}}, "links": links}, environment)

    assert len(found) == 5 * 1000
    assert found[0] == "links[0].target: null: missing; write it, or take the entry out"
    assert found[-1] == 'links[2998].target: "nobody": no such cluster in `clusters`; known are west'
    assert time.monotonic() - started < 5


# What nobody would write.

SCHEMA = schema.schema()
DEFINITIONS = SCHEMA["definitions"]
KEYS = sorted({key for definition in DEFINITIONS.values() for key in definition["properties"]})
SECRET = "hunter2-the-secret-of-the-stack"
SECRET_KEYS = [f"{settings.PROJECT}:{key}" for key in settings.SECRETS]

texts_of_all_kinds = st.sampled_from(
    [
        "",
        "west",
        "east",
        "full-mesh",
        "hub",
        "never",
        "true",
        "2.14.10",
        "10.0.0.0/8",
        "https://[::1]:1",
        "[key]",
        "\n",
        "~x",
        "/",
    ]
) | st.text(max_size=20)
scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.sampled_from([0, 1, 443, 10**30, -(10**30), 1e308, 0.5])
    | st.floats(allow_nan=False, allow_infinity=False)
    | texts_of_all_kinds
)
keys = st.sampled_from([*KEYS, "west", "east"]) | texts_of_all_kinds


def nested(leaves: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.recursive(
        leaves, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=4), max_leaves=12
    )


nonsense = nested(scalars)
top = st.sampled_from(TOP) | keys
secret_keys = st.lists(st.sampled_from(TOP), max_size=2)
quickly = hypothesis_settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))


def judged(config: Mapping[str, Any], secret: list[str], environment: Environment) -> str:
    """Load it, and give the message if there is one; anything else that is raised is a slip of the program."""
    texts = {
        f"{settings.PROJECT}:{key}": value if isinstance(value, str) else json.dumps(value)
        for key, value in config.items()
    }
    try:
        load(texts, [f"{settings.PROJECT}:{key}" for key in secret], environment)
    except settings.SettingsError as error:
        assert error.faults
        for fault in error.faults:
            assert fault.isprintable()
            assert FAULT.fullmatch(fault), fault
        return str(error)
    return ""


def shaped(node: Mapping[str, Any]) -> st.SearchStrategy[Any]:
    """What has the form that a part of the schema asks for; most of it, that is."""
    if "$ref" in node:
        return shaped(DEFINITIONS[node["$ref"].rpartition("/")[2]])
    if "anyOf" in node:
        return st.one_of(*map(shaped, node["anyOf"]))
    if "enum" in node:
        return st.sampled_from(node["enum"])
    kinds = node.get("type", [])
    return st.one_of(*(of_kind(kind, node) for kind in ([kinds] if isinstance(kinds, str) else kinds)))


def of_kind(kind: str, node: Mapping[str, Any]) -> st.SearchStrategy[Any]:
    match kind:
        case "object" if "properties" in node:
            parts = {key: mostly(shaped(value)) for key, value in node["properties"].items()}
            return st.fixed_dictionaries({}, optional=parts)
        case "object":
            patterns = [*node.get("patternProperties", {}).values(), node.get("additionalProperties")]
            inner = shaped(patterns[0]) if isinstance(patterns[0], dict) else nonsense
            return st.dictionaries(st.sampled_from(["west", "east", "a-to-b", "a.b/c"]), mostly(inner), max_size=3)
        case "array":
            return st.lists(mostly(shaped(node["items"])), max_size=3)
        case "integer":
            return st.sampled_from([1, 443, 8760]) | st.integers()
        case "boolean":
            return st.booleans()
        case "null":
            return st.none()
    return texts_of_all_kinds


def mostly(strategy: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.one_of(strategy, strategy, strategy, nonsense)


OURS = SCHEMA["properties"]["config"]["properties"]
stack_files = st.fixed_dictionaries(
    {"clusters": shaped(OURS[f"{schema.PREFIX}clusters"])},
    optional={key: shaped(OURS[f"{schema.PREFIX}{key}"]) for key in TOP if key != "clusters"},
)


@given(config=stack_files, secret=secret_keys)
@quickly
def test_anything_of_the_right_form_is_either_settings_or_a_list_of_faults(
    config: dict[str, Any], secret: list[str], small: Environment
) -> None:
    judged(config, [*secret, *settings.SECRETS], small)


@given(config=st.dictionaries(top, nonsense, max_size=5), secret=secret_keys)
@quickly
def test_nonsense_is_either_settings_or_a_list_of_faults(
    config: dict[str, Any], secret: list[str], small: Environment
) -> None:
    judged(config, secret, small)


@given(data=st.data())
@quickly
def test_a_valid_file_with_a_slip_in_it_is_either_settings_or_a_list_of_faults(
    data: st.DataObject, small: Environment, texts: dict[str, str]
) -> None:
    file = data.draw(st.sampled_from(sorted(CORPUS.glob("valid-*.yaml"))))
    encoded, secret = handed_over(cached(file), texts)
    prefix = f"{settings.PROJECT}:"
    config = {key.removeprefix(prefix): decoded(value) for key, value in encoded.items() if key.startswith(prefix)}
    for _ in range(data.draw(st.integers(1, 3))):
        spoil(config, data)

    judged(config, [key.removeprefix(prefix) for key in secret], small)


def spoil(config: dict[str, Any], data: st.DataObject) -> None:
    """Drop, rename, repeat or replace something in it."""
    here: Any = config
    while True:
        places = list(here) if isinstance(here, dict) else list(range(len(here)))
        if not places:
            return
        place = data.draw(st.sampled_from(places))
        if not isinstance(here[place], dict | list) or not data.draw(st.booleans()):
            break
        here = here[place]
    match data.draw(st.sampled_from(["drop", "rename", "repeat", "replace"])):
        case "drop":
            del here[place]
        case "rename" if isinstance(here, dict):
            here[data.draw(keys)] = here.pop(place)
        case "repeat" if isinstance(here, list):
            here.append(here[place])
        case _:
            here[place] = data.draw(nonsense)


@given(
    key=top, value=st.text() | st.sampled_from(["[" * 2000, '{"a":' * 2000, "9" * 5000, "NaN", "1e999", '"\\ud800"'])
)
@quickly
def test_any_text_can_be_the_value_of_a_key(key: str, value: str, small: Environment) -> None:
    judged({"clusters": {"west": {}}, key: value}, [], small)


@given(key=st.sampled_from([*TOP, "token"]), value=nested(st.just(SECRET)))
@quickly
def test_no_message_has_a_secret_in_it(key: str, value: Any, small: Environment) -> None:
    config = {"clusters": {"west": {}, "east": {}}, "topology": "full-mesh", key: value}

    assert SECRET not in judged(config, [key], small)


@pytest.mark.parametrize(
    "config",
    [
        {"kubeconfigs": {"west": f"users: [{{user: {{token: {SECRET}}}"}},
        {"kubeconfigs": {"west": f"clusters: {SECRET}"}},
        {"kubeconfigs": {"west": f"{SECRET}: {{contexts: {SECRET}}}"}},
        {"kubeconfigs": {"west": f"!{SECRET} x"}},
        {"kubeconfigs": {"west": f"- {SECRET}"}},
        {"kubeconfigs": {"west": SECRET, "nobody": SECRET}},
        {"trust": {"anchor": {"certificate": f"-----BEGIN CERTIFICATE-----\n{SECRET}\n-----END CERTIFICATE-----"}}},
        {"trust": {"anchor": {"certificate": SECRET, "key": f"{begins('PRIVATE KEY')}\n{SECRET}"}}},
        {"trust": {"issuers": {"west": {"certificate": SECRET, "key": SECRET, "other": SECRET}}}},
        {"trust": {"certManager": {"issuerRef": {"name": SECRET, "kind": SECRET}}}},
        {"trust": {"lifetimes": {"issuer": SECRET, "root": SECRET}}},
        {"imagePullSecret": json.dumps({"auth": SECRET})},
        {"linkerd": {"values": {"linkerd-control-plane": {"identity": {"issuer": {"tls": {"keyPEM": SECRET}}}}}}},
        {"linkerd": {"version": SECRET, "values": {"x": SECRET}}},
        {"clusters": {"west": {"context": SECRET, "kubeconfig": SECRET, "apiServer": SECRET, "password": SECRET}}},
        {"links": [{"source": SECRET, "target": "west"}, SECRET]},
        {"topology": {"hub": SECRET, "except": [{"source": SECRET}]}},
        {"charts": {"repository": SECRET}},
        {"workloads": [{"podinfo": {"namespace": "test", "clusters": [SECRET], "exported": SECRET}}]},
    ],
    ids=lambda config: "-".join(config),
)
def test_no_message_has_a_secret_in_it_wherever_it_was_put(config: dict[str, Any], small: Environment) -> None:
    message = judged({"clusters": {"west": {}}, **config}, list(config), small)

    assert message
    assert SECRET not in message


@given(text=st.text() | st.binary().map(lambda raw: raw.decode("latin-1")) | nested(scalars).map(yaml.safe_dump))
@quickly
def test_any_text_as_a_kubeconfig_is_either_read_or_a_fault(text: str, small: Environment) -> None:
    judged({"clusters": {"west": {}}, "kubeconfigs": {"west": text}}, ["kubeconfigs"], small)


@given(entry=st.sampled_from(["clusters", "contexts", "users", "current-context"]), value=nonsense)
@quickly
def test_any_entry_of_a_kubeconfig_is_either_read_or_a_fault(entry: str, value: Any, small: Environment) -> None:
    spoilt = yaml.safe_load(SOUTH) | {entry: value}

    judged({"clusters": {"west": {}}, "kubeconfigs": {"west": json.dumps(spoilt)}}, ["kubeconfigs"], small)


def test_a_setting_under_both_names_of_the_project_is_refused(
    environment: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(pulumi, "get_project", lambda: "my-mesh")
    clusters = json.dumps({"west": {}})
    both = {"my-mesh:clusters": clusters, "multicluster-mesh:clusters": clusters}
    monkeypatch.setenv("PULUMI_CONFIG", json.dumps(both))
    monkeypatch.setenv("PULUMI_CONFIG_SECRET_KEYS", "[]")

    with pytest.raises(settings.SettingsError) as caught:
        settings.load()

    assert caught.value.faults == (
        "multicluster-mesh:clusters: …: my-mesh:clusters says this already; take one of the two out",
    )
