"""Odd kubeconfigs: kubectl, the Kubernetes provider and this program send the same requests, or none of them sends one.

Needs the toolchain, and no cluster: the requests end at a server that records their user.
"""

from __future__ import annotations

import json
import os
import re
import time
from base64 import b64encode, urlsafe_b64encode
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

from mesh.config import PROJECT
from mesh.kube.connection import build_api_client
from tests.helpers.certificates import IssuedCertificate, private_key_pem
from tests.helpers.kubeconfig_readers import (
    CONTEXT,
    PROXIED_HOST,
    PROXY_PASSWORD,
    PROXY_USER,
    Identity,
    Servers,
    ask_with_kubectl,
    ask_with_program,
    ask_with_provider,
    find_kubectl,
    find_provider,
    reader_environment,
    serve_recorder,
)
from tests.helpers.stack_files import load_settings

pytestmark = pytest.mark.lab(minutes=1)

V1, V1BETA1 = "client.authentication.k8s.io/v1", "client.authentication.k8s.io/v1beta1"
CONTEXT_ENTRY = {"name": CONTEXT, "context": {"cluster": "west", "user": "someone"}}
READERS = ("kubectl", "provider", "program")
TOKEN = "a-token-that-nobody-prints"
BEARER = f"Bearer {TOKEN}"


@dataclass
class Case:
    """A kubeconfig, and the user of its requests or the reason why there are none."""

    expected: Identity | str  # a regular expression for this program's error
    cluster: dict[str, Any] = field(default_factory=dict)  # updates the server's cluster; None removes a key
    user: Any = field(default_factory=lambda: {"token": TOKEN})
    edit: Callable[[dict[str, Any]], None] = lambda content: None
    render: Callable[[dict[str, Any]], str] = yaml.safe_dump
    plugin: str | None = None  # script of `bin/plugin` in the kubeconfig's folder, also on PATH
    variable: str = "{folder}/kubeconfig"  # $KUBECONFIG
    files: dict[str, str] = field(default_factory=dict)
    proxied: str | None = None  # scheme and target of the connections through a proxy
    environment: dict[str, str] = field(default_factory=dict)


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    find_kubectl(), find_provider()
    with serve_recorder(tmp_path_factory.mktemp("servers")) as started:
        yield started


def plugin(**fields: Any) -> dict[str, Any]:
    return {"exec": {"apiVersion": V1, "command": "./bin/plugin", "interactiveMode": "Never", **fields}}


def script(output: Mapping[str, Any] | str, code: int = 0, words: str = "") -> str:
    text = output if isinstance(output, str) else json.dumps(output)
    return f"#!/bin/sh\necho '{words}' >&2\ncat <<'END'\n{text}\nEND\nexit {code}\n"


def credential(version: str = V1, **status: str) -> dict[str, Any]:
    return {"apiVersion": version, "kind": "ExecCredential", "status": status or {"token": TOKEN}}


def tabs(content: dict[str, Any]) -> str:
    return json.dumps(content, indent="\t").replace('": ', '":\t')


def id_token(lifetime_s: float) -> str:
    payload = urlsafe_b64encode(json.dumps({"exp": int(time.time() + lifetime_s)}).encode()).decode().rstrip("=")
    return f"e30.{payload}.c2ln"


def oidc(**fields: str) -> dict[str, Any]:
    settings = {"idp-issuer-url": "https://127.0.0.1:1", "client-id": "mesh", **fields}
    return {"auth-provider": {"name": "oidc", "config": settings}}


def set_key(*path: Any, value: Any) -> Callable[[dict[str, Any]], None]:
    def edit(content: dict[str, Any]) -> None:
        target: Any = content
        for key in path[:-1]:
            target = target[key]
        target[path[-1]] = value

    return edit


def add_user(user: Any) -> Callable[[dict[str, Any]], None]:
    return lambda content: content["users"].append({"name": "other", "user": user})


def authority_data(content: dict[str, Any]) -> str:
    return str(content["clusters"][0]["cluster"]["certificate-authority-data"])


VALID_ID_TOKEN = id_token(3600)
INFO_SCRIPT = r"""#!/bin/sh
printf '%s' "$KUBERNETES_EXEC_INFO" | grep -q '"interactive": *false' || exit 3
printf '%s' "$KUBERNETES_EXEC_INFO" | grep -q '"server": *"https://127.0.0.1:' || exit 4
printf '%s' "$KUBERNETES_EXEC_INFO" | grep -q '"certificate-authority-data": *"' || exit 5
printf '%s' "$KUBERNETES_EXEC_INFO" | grep -q '"audience": *"mesh"' || exit 6
echo '{"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential", "status": {"token": "'$NAME'"}}'
"""
EXTENSION = {"extensions": [{"name": "client.authentication.k8s.io/exec", "extension": {"audience": "mesh"}}]}
FILES = {"client-certificate": "client.crt", "client-key": "pki/client.key"}
PROXY_LOGIN = f"{PROXY_USER}:p%40ss%3Aword@"
BASIC_PROXY = "Basic " + b64encode(f"{PROXY_USER}:{PROXY_PASSWORD}".encode()).decode()
PLUGIN = script(credential())

USED = {
    "token": Case(Identity(authorization=BEARER)),
    "relative-authority": Case(
        Identity(authorization=BEARER), cluster={"certificate-authority-data": None, "certificate-authority": "ca.crt"}
    ),
    "relative-certificate-and-key": Case(Identity(certificate="someone"), user=FILES),
    "relative-token-file": Case(Identity(authorization=BEARER), user={"tokenFile": "token"}),
    "token-file-before-token": Case(Identity(authorization=BEARER), user={"token": "old", "tokenFile": "token"}),
    "relative-plugin": Case(Identity(authorization=BEARER), user=plugin(), plugin=PLUGIN),
    "plugin-on-path": Case(Identity(authorization=BEARER), user=plugin(command="plugin"), plugin=PLUGIN),
    "plugin-with-arguments-and-variables": Case(
        Identity(authorization="Bearer one-two-three"),
        user=plugin(args=["three"], env=[{"name": "FIRST", "value": "one"}, {"name": "SECOND", "value": "two"}]),
        plugin="#!/bin/sh\n"
        f"""echo '{{"apiVersion": "{V1}", "kind": "ExecCredential", "status": """
        """{"token": "'$FIRST-$SECOND-$1'"}}'""",
    ),
    "plugin-with-cluster-information": Case(
        Identity(authorization="Bearer named"),
        cluster=EXTENSION,
        user=plugin(provideClusterInfo=True, env=[{"name": "NAME", "value": "named"}]),
        plugin=INFO_SCRIPT,
    ),
    "plugin-if-terminal-is-available": Case(
        Identity(authorization=BEARER), user=plugin(interactiveMode="IfAvailable"), plugin=PLUGIN
    ),
    "plugin-of-beta-version-without-mode": Case(
        Identity(authorization=BEARER),
        user={"exec": {"apiVersion": V1BETA1, "command": "./bin/plugin"}},
        plugin=script(credential(V1BETA1)),
    ),
    "plugin-that-prints-yaml": Case(
        Identity(authorization=BEARER), user=plugin(), plugin=script(yaml.safe_dump(credential()))
    ),
    "token-before-plugin": Case(
        Identity(authorization=BEARER), user={"token": TOKEN, **plugin()}, plugin=script("", code=1)
    ),
    "certificate-before-plugin": Case(
        Identity(certificate="someone"), user={**FILES, **plugin()}, plugin=script("", code=1)
    ),
    "impersonation": Case(
        Identity(
            authorization=BEARER,
            impersonation=(
                ("impersonate-extra-scopes%2fmesh", "read"),
                ("impersonate-extra-scopes%2fmesh", "write"),
                ("impersonate-group", "developers"),
                ("impersonate-group", "first, second"),
                ("impersonate-uid", "42"),
                ("impersonate-user", "jane"),
            ),
        ),
        user={
            "token": TOKEN,
            "as": "jane",
            "as-uid": "42",
            "as-groups": ["developers", "first, second"],
            "as-user-extra": {"scopes/mesh": ["read", "write"]},
        },
    ),
    "json-with-tabs": Case(Identity(authorization=BEARER), render=tabs),
    "password": Case(
        Identity(authorization="Basic " + b64encode(b"jane:a:b").decode()), user={"username": "jane", "password": "a:b"}
    ),
    "valid-id-token": Case(
        Identity(authorization=f"Bearer {VALID_ID_TOKEN}"), user=oidc(**{"id-token": VALID_ID_TOKEN})
    ),
    "unverified-server": Case(
        Identity(authorization=BEARER),
        cluster={"certificate-authority-data": None, "insecure-skip-tls-verify": True},
    ),
    "server-without-tls": Case(Identity(), cluster={"server": "http://127.0.0.1:{plain_port}"}),
    "server-without-tls-and-user": Case(
        Identity(), cluster={"server": "http://127.0.0.1:{plain_port}"}, edit=set_key("users", value=None)
    ),
    "http-proxy": Case(Identity(authorization=BEARER), proxied=f"http {PROXIED_HOST}"),
    "https-proxy": Case(Identity(authorization=BEARER), proxied=f"https {PROXIED_HOST}"),
    "socks-proxy": Case(Identity(authorization=BEARER), proxied=f"socks5 {PROXIED_HOST}"),
    "http-proxy-with-password": Case(Identity(authorization=BEARER), proxied=f"http {PROXIED_HOST} {BASIC_PROXY}"),
    "socks-proxy-with-password": Case(
        Identity(authorization=BEARER), proxied=f"socks5 {PROXIED_HOST} {PROXY_USER}:{PROXY_PASSWORD}"
    ),
    "null-fields": Case(
        Identity(authorization=BEARER),
        user={"token": TOKEN, "exec": None, "as-groups": None, "client-certificate": "", "auth-provider": None},
    ),
    "missing-and-empty-files-in-list": Case(
        Identity(authorization=BEARER), variable="{folder}/none::{folder}/empty:{folder}/kubeconfig"
    ),
    "tilde-in-list": Case(Identity(authorization=BEARER), variable="~/none:{folder}/kubeconfig"),
    "first-file-wins": Case(
        Identity(authorization="Bearer first"),
        variable="{folder}/first/config:{folder}/kubeconfig",
        files={"first/config": yaml.safe_dump({"users": [{"name": "someone", "user": {"tokenFile": "../words"}}]})},
    ),
    "paths-relative-to-own-files": Case(
        Identity(authorization="Bearer second"),
        cluster={"certificate-authority-data": None, "certificate-authority": "ca.crt"},
        variable="{folder}/kubeconfig:{folder}/second/config",
        edit=set_key("users", value=[]),
        files={
            "second/config": yaml.safe_dump({"users": [{"name": "someone", "user": {"tokenFile": "token"}}]}),
            "second/token": "second\n",
        },
    ),
    "entries-of-a-user-are-not-merged": Case(
        Identity(authorization=BEARER),
        variable="{folder}/kubeconfig:{folder}/second/config",
        files={"second/config": yaml.safe_dump({"users": [{"name": "someone", "user": {"as": "jane"}}]})},
    ),
    "invalid-user-of-another-context": Case(
        Identity(authorization=BEARER), edit=add_user({"client-certificate": "none", "client-key": "none"})
    ),
    "plugin-with-client-certificate": Case(
        Identity(certificate="someone"),
        user=plugin(),
        plugin=script(credential(clientCertificateData="{certificate}", clientKeyData="{key}")),
    ),
    "plugin-with-expired-token": Case(
        Identity(authorization=BEARER),
        user=plugin(),
        plugin=script(credential(token=TOKEN, expirationTimestamp="2001-02-03T04:05:06Z")),
    ),
    "base64-with-line-breaks": Case(
        Identity(authorization=BEARER),
        edit=lambda content: content["clusters"][0]["cluster"].update(
            {"certificate-authority-data": "\n".join(re.findall(".{1,64}", authority_data(content)))}
        ),
    ),
    "byte-order-mark": Case(Identity(authorization=BEARER), render=lambda content: f"\ufeff{yaml.safe_dump(content)}"),
    "windows-line-ends": Case(
        Identity(authorization=BEARER), render=lambda content: yaml.safe_dump(content).replace("\n", "\r\n")
    ),
    "merged-mappings": Case(
        Identity(authorization=BEARER),
        user={"<<": {"token": TOKEN}},
        render=lambda content: yaml.safe_dump(content).replace("'<<'", "<<"),
    ),
    "unknown-fields": Case(
        Identity(authorization=BEARER), user={"token": TOKEN, "tokken": 5}, cluster={"Server": "https://127.0.0.1:1"}
    ),
    "relative-kubeconfig": Case(Identity(certificate="someone"), user=FILES, variable="kubeconfig:none"),
    "entries-in-three-files": Case(
        Identity(authorization=BEARER),
        variable="{folder}/one/config:{folder}/two/config:{folder}/kubeconfig",
        edit=lambda content: content.update(users=[], contexts=[]),
        files={
            "one/config": json.dumps({"users": [{"name": "someone", "user": {"tokenFile": "../token"}}]}),
            "two/config": json.dumps({"contexts": [CONTEXT_ENTRY]}),
        },
    ),
    "http-proxy-in-spite-of-exceptions": Case(
        Identity(authorization=BEARER), proxied=f"http {PROXIED_HOST}", environment={"NO_PROXY": "*"}
    ),
    "http-proxy-of-environment": Case(
        Identity(authorization=BEARER),
        cluster={"proxy-url": None},
        proxied=f"http {PROXIED_HOST}",
        environment={"HTTPS_PROXY": "http://localhost:{http}"},
    ),
    "socks-proxy-of-environment": Case(
        Identity(authorization=BEARER),
        cluster={"proxy-url": None},
        proxied=f"socks5 {PROXIED_HOST}",
        environment={"HTTPS_PROXY": "socks5://localhost:{socks5}"},
    ),
    "no-proxy-for-this-machine": Case(
        Identity(authorization=BEARER), environment={"HTTPS_PROXY": "http://127.0.0.1:1"}
    ),
    "impersonation-without-tls": Case(
        Identity(impersonation=(("impersonate-user", "jane"),)),
        cluster={"server": "http://127.0.0.1:{plain_port}"},
        user={"token": TOKEN, "as": "jane"},
    ),
    "server-without-scheme": Case(Identity(), cluster={"server": "127.0.0.1:{plain_port}"}),
    "date-as-name": Case(
        Identity(authorization=BEARER),
        edit=lambda content: content["users"].append({"name": "{date}", "user": {}}),
        render=lambda content: yaml.safe_dump(content).replace("'{date}'", "2030-01-02"),
    ),
}

REFUSED = {
    "missing-authority": Case(
        r"certificate-authority: /.*/kept/none.crt: No such file.*; correct the path",
        cluster={"certificate-authority-data": None, "certificate-authority": "kept/none.crt"},
    ),
    "home-folder-in-path": Case(
        r"certificate-authority: .*; write the whole path, because kubectl does not expand `~`",
        cluster={"certificate-authority-data": None, "certificate-authority": "~/ca.crt"},
    ),
    "authority-that-is-no-certificate": Case(
        "certificates or its key cannot be read", cluster={"certificate-authority-data": "Q0E="}
    ),
    "authority-twice": Case("are both set; remove one", cluster={"certificate-authority": "ca.crt"}),
    "unverified-server-with-authority": Case(
        "insecure-skip-tls-verify contradicts certificate-authority-data", cluster={"insecure-skip-tls-verify": True}
    ),
    "missing-client-certificate": Case("client-certificate: .*none", user={**FILES, "client-certificate": "none"}),
    "missing-client-key": Case("client-key: .*none", user={**FILES, "client-key": "none"}),
    "certificate-without-key": Case("has no client-key", user={"client-certificate": "client.crt"}),
    "certificate-with-other-key": Case("do not belong together", user={**FILES, "client-key": "other.key"}),
    "encrypted-key": Case("client-key is encrypted", user={**FILES, "client-key": "encrypted.key"}),
    "key-data-that-is-no-base64": Case(
        r"users\[1\]\.user\.client-key-data: not valid base64", edit=add_user({"client-key-data": "no base64"})
    ),
    "number-as-token": Case(
        r"users\[0\]\.user\.token: a string was expected; enclose it in quotes", user={"token": 12345}
    ),
    "float-as-name": Case(
        r"users\[1\]\.name: a string was expected",
        edit=lambda content: content["users"].append({"name": "{float}", "user": {}}),
        render=lambda content: yaml.safe_dump(content).replace("'{float}'", "12e4"),
    ),
    "word-for-boolean": Case("insecure-skip-tls-verify: a boolean", cluster={"insecure-skip-tls-verify": "false"}),
    "unknown-proxy": Case("proxy-url: .*not ftp", cluster={"proxy-url": "ftp://127.0.0.1:1"}),
    "proxy-that-resolves-names": Case("proxy-url: .*not socks5h", cluster={"proxy-url": "socks5h://127.0.0.1:1"}),
    "proxy-without-scheme": Case("proxy-url: .*without a scheme", cluster={"proxy-url": "127.0.0.1:1"}),
    "stopped-socks-proxy": Case(
        "the proxy refuses the connection: connection refused", cluster={"proxy-url": "socks5://127.0.0.1:1"}
    ),
    "no-server": Case("no `server`", cluster={"server": None}),
    "removed-auth-provider": Case(
        "auth-provider: kubectl does not support gcp; use `exec` plugin gke-gcloud-auth-plugin instead",
        user={"auth-provider": {"name": "gcp", "config": {}}},
    ),
    "unknown-auth-provider": Case("does not support corp", user={"auth-provider": {"name": "corp"}}),
    "expired-id-token": Case(
        "id-token .* has expired, or is missing; log in", user=oidc(**{"id-token": id_token(-3600)})
    ),
    "auth-provider-and-plugin": Case("auth-provider and exec", user={**oidc(), **plugin()}, plugin=PLUGIN),
    "missing-plugin": Case(
        "plugin no-such-plugin is not on PATH; install it.*brew install no-such-plugin",
        user=plugin(command="no-such-plugin", installHint="brew install no-such-plugin"),
    ),
    "missing-relative-plugin": Case("/bin/plugin does not exist", user=plugin()),
    "plugin-that-is-no-program": Case("is not executable; run `chmod", user=plugin(command="./ca.crt")),
    "failing-plugin": Case(
        'failed with exit code 7: "the session has expired: run corp login"; do what the plugin asks for',
        user=plugin(),
        plugin=script("", code=7, words="the session has expired: run corp login"),
    ),
    "silent-plugin": Case("printed no usable credentials: the output is empty", user=plugin(), plugin="#!/bin/sh\n"),
    "plugin-that-prints-a-token-only": Case("output is no ExecCredential", user=plugin(), plugin=script(TOKEN)),
    "plugin-of-other-version": Case("another apiVersion", user=plugin(), plugin=script(credential(V1BETA1))),
    "plugin-without-status": Case(
        "neither a token nor a certificate",
        user=plugin(),
        plugin=script({"apiVersion": V1, "kind": "ExecCredential"}),
    ),
    "plugin-with-certificate-without-key": Case(
        "not both", user=plugin(), plugin=script(credential(clientCertificateData="PEM"))
    ),
    "plugin-of-removed-version": Case(
        "no longer supports client.authentication.k8s.io/v1alpha1",
        user=plugin(apiVersion="client.authentication.k8s.io/v1alpha1"),
        plugin=PLUGIN,
    ),
    "plugin-without-mode": Case(
        "no `interactiveMode`", user={"exec": {"apiVersion": V1, "command": "./bin/plugin"}}, plugin=PLUGIN
    ),
    "plugin-that-needs-terminal": Case("needs a terminal", user=plugin(interactiveMode="Always"), plugin=PLUGIN),
    "plugin-without-command": Case("no `command`", user=plugin(command="")),
    "groups-without-user": Case("without `as`", user={"token": TOKEN, "as-groups": ["developers"]}),
    "token-and-password": Case("token and a password", user={"token": TOKEN, "username": "jane", "password": "hush"}),
    "token-with-line-break": Case("characters that HTTP does not allow", user={"token": f"{TOKEN}\nhush"}),
    "missing-token-file": Case("tokenFile: .*none: No such file", user={"tokenFile": "none"}),
    "empty-token-file": Case("tokenFile: .*the file is empty", user={"tokenFile": "empty"}),
    "no-credentials": Case("its user someone has no credentials", user={}),
    "null-user": Case("its user someone has no credentials", user=None),
    "unknown-user": Case("its user someone is not in the kubeconfig", edit=set_key("users", value=[])),
    "context-without-user": Case("names no user", edit=set_key("contexts", 0, "context", value={"cluster": "west"})),
    "unknown-cluster": Case("its cluster west is not in the kubeconfig", edit=set_key("clusters", value=[])),
    "unknown-context": Case("the kubeconfig has no context west", edit=set_key("contexts", value=[])),
    "two-users-of-one-name": Case(
        "two entries have the name someone",
        edit=lambda content: content["users"].append({"name": "someone", "user": {"token": "other"}}),
    ),
    "other-kind": Case("not a kubeconfig: `kind`", edit=set_key("kind", value="Secret")),
    "other-version": Case("not a kubeconfig: `apiVersion`", edit=set_key("apiVersion", value="v2")),
    "list-for-mapping": Case(r"users\[0\]\.user: a mapping was expected", user=["token"]),
    "home-folder-in-variable": Case(
        "no kubeconfig was found; set .KUBECONFIG to absolute paths", variable="~/kubeconfig"
    ),
}

# The program does not guess which of two contradictory values is meant.
AMBIGUOUS = {
    "two-documents": Case(
        "not YAML at line", render=lambda content: f"---\n{yaml.safe_dump(content)}---\nkind: Other\n"
    ),
    "duplicate-key": Case(
        'duplicate key "token"; remove one of the two',
        render=lambda content: yaml.safe_dump(content).replace("    token: ", "    token: old\n    token: "),
    ),
}


def write_case(case: Case, servers: Servers, folder: Path) -> str:
    """Write the files of a case, and return the value of `$KUBECONFIG`."""
    scheme, has_login = (case.proxied or "").partition(" ")[0], (case.proxied or "").count(" ") > 1
    base = servers.proxied_cluster(scheme, PROXY_LOGIN if has_login else "") if case.proxied else servers.cluster
    cluster = {key: value for key, value in {**base, **case.cluster}.items() if value is not None}
    if isinstance(server := cluster.get("server"), str):
        cluster["server"] = server.replace("{plain_port}", str(servers.plain_port))
    content = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "west", "cluster": cluster}],
        "contexts": [CONTEXT_ENTRY],
        "users": [{"name": "someone", "user": case.user}],
    }
    # yaml.safe_dump writes an alias for a value that occurs twice.
    content = json.loads(json.dumps(content))
    case.edit(content)
    files = {
        "kubeconfig": case.render(content),
        "home/kubeconfig": case.render(content),
        "home/ca.crt": servers.authority.pem,
        "ca.crt": servers.authority.pem,
        "client.crt": servers.client.pem,
        "pki/client.key": servers.client.private_key,
        "other.key": IssuedCertificate().private_key,
        "encrypted.key": private_key_pem(servers.client.key, password=b"password"),
        "token": f"{TOKEN}\n",
        "words": "first",
        "empty": "",
        "bin/.keep": "",
        **({"bin/plugin": case.plugin} if case.plugin is not None else {}),
        **case.files,
    }
    for placeholder, text in (("{certificate}", servers.client.pem), ("{key}", servers.client.private_key)):
        if case.plugin is not None:
            files["bin/plugin"] = files["bin/plugin"].replace(placeholder, json.dumps(text)[1:-1])
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    if case.plugin is not None:
        (folder / "bin/plugin").chmod(0o755)
    return case.variable.format(folder=folder)


@pytest.fixture
def ask(
    servers: Servers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[[Case], tuple[dict[str, tuple[set[Identity], set[str]]], dict[str, str]]]:
    """Return a function that lets all readers use a case; it returns the recorded users and proxies, and the errors."""

    def ask_all(case: Case) -> tuple[dict[str, tuple[set[Identity], set[str]]], dict[str, str]]:
        environment = reader_environment(tmp_path, write_case(case, servers, tmp_path))
        environment |= {name: value.format(**servers.proxies) for name, value in case.environment.items()}
        for name in [name for name in os.environ if name.upper().endswith("_PROXY")]:
            monkeypatch.delenv(name)
        monkeypatch.chdir(tmp_path)
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        build_api_client.cache_clear()
        observed, errors = {}, {}
        readers: dict[str, Callable[[], str | None]] = {
            "kubectl": lambda: ask_with_kubectl(servers, environment),
            "provider": lambda: ask_with_provider(environment),
            "program": ask_with_program,
        }
        for name, reader in readers.items():
            servers.identities.clear()
            servers.proxied.clear()
            errors[name] = reader() or ""
            observed[name] = set(servers.identities), set(servers.proxied)
        return observed, errors

    return ask_all


@pytest.mark.parametrize("name", USED)
def test_all_readers_send_requests_as_same_user(name: str, ask: Any) -> None:
    case = USED[name]

    observed, errors = ask(case)

    expected = ({case.expected}, {case.proxied} if case.proxied else set())
    assert observed == dict.fromkeys(READERS, expected), errors


@pytest.mark.parametrize("name", REFUSED)
def test_no_reader_uses_refused_kubeconfig(name: str, ask: Any) -> None:
    case = REFUSED[name]

    observed, errors = ask(case)

    assert observed == dict.fromkeys(READERS, (set(), set())), errors
    assert re.search(str(case.expected), errors["program"]), errors["program"]
    assert TOKEN not in errors["program"]


@pytest.mark.parametrize("name", AMBIGUOUS)
def test_ambiguous_kubeconfig_is_refused_by_program_only(name: str, ask: Any) -> None:
    observed, errors = ask(AMBIGUOUS[name])

    users = {reader: identities for reader, (identities, _) in observed.items()}
    user = {Identity(authorization=BEARER)}
    assert users == {"kubectl": user, "provider": user, "program": set()}
    assert re.search(str(AMBIGUOUS[name].expected), errors["program"])


@pytest.mark.parametrize(
    "name",
    [
        name
        for name, case in USED.items()
        if name.startswith(("relative-", "plugin-", "token", "http", "socks", "impersonation")) and not case.environment
    ],
)
def test_own_kubeconfig_works_in_provider_from_any_folder(
    name: str, servers: Servers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    case = USED[name]
    write_case(case, servers, tmp_path)
    environment = reader_environment(tmp_path, "/nowhere/kubeconfig")
    for key, value in environment.items():
        monkeypatch.setenv(key, value)
    build_api_client.cache_clear()
    path = str(tmp_path / "kubeconfig")
    clusters = json.dumps({"west": {"kubeconfig": path, "context": CONTEXT}})
    settings = load_settings({f"{PROJECT}:clusters": clusters}, [], environment)
    kubeconfig = settings.clusters[0].kubeconfig

    users = {}
    for reader, send in (
        ("kubectl", lambda: ask_with_kubectl(servers, environment, "--kubeconfig", path)),
        ("provider", lambda: ask_with_provider(environment, kubeconfig)),
        ("program", lambda: ask_with_program(kubeconfig)),
    ):
        servers.identities.clear()
        send()
        users[reader] = set(servers.identities)

    assert users == {reader: {case.expected} for reader in READERS}
