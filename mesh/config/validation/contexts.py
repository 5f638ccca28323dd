"""Resolution of each cluster's context in its kubeconfig, and errors that name the setting to correct."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from mesh.config.errors import ValidationErrors, join_names
from mesh.config.models.stack_file import ClusterConfig
from mesh.config.value_checks import expand_path
from mesh.kube import kubeconfig
from mesh.kube.kubeconfig_checks import Problem
from mesh.kube.kubeconfig_syntax import KubeconfigError

_NO_SUCH_FILE = "no such file"


class ContextResolver:
    """Resolver of the clusters' contexts, which reads each kubeconfig once."""

    def __init__(self, environment: Mapping[str, str], errors: ValidationErrors) -> None:
        self._errors = errors
        self._cache: dict[tuple[Path, ...], kubeconfig.Kubeconfig | KubeconfigError] = {}
        try:
            self._default_files = tuple(kubeconfig.kubeconfig_paths(environment))
        except RuntimeError:  # there is no home folder
            self._default_files = (Path("~/.kube/config"),)

    def find_context(self, name: str, config: ClusterConfig, content: str | None) -> kubeconfig.Context | None:
        """Return the context of a cluster, or report why there is none.

        Args:
            name: the cluster's name.
            config: the cluster's part of the stack file.
            content: the content of its kubeconfig, if that is a secret.
        """
        has_own_kubeconfig = config.kubeconfig is not None or content is not None
        context: kubeconfig.Context | None = None
        problems: list[Problem] = []
        source = self._read(name, config, content)
        context_name = config.context or name
        if isinstance(source, kubeconfig.Kubeconfig):
            if has_own_kubeconfig and config.context is None and name not in source.contexts:
                # The current context of a kubeconfig for this cluster alone.
                context_name = source.current_context or name
            context = source.contexts.get(context_name)
            problems = [] if context is None else _find_problems(context, is_secret=content is not None)
            if context is not None and not problems:
                return context
        if config.reachable is not True:
            # The program sends no request to an unreachable cluster.
            if context is not None and context.has_usable_cluster:
                return context
            return kubeconfig.Context(name=context_name, server=config.api_server.url or "")
        path = ("clusters", name)
        invalid_keys = [self._errors.is_invalid(*path, key) for key in ("context", "kubeconfig", "reachable")]
        if any(invalid_keys) or self._errors.is_invalid("kubeconfigs", name):
            return None
        if isinstance(source, KubeconfigError):
            self._report_unreadable(name, config, content, source)
        elif problems:
            self._report_problems(context_name, name, config, content, problems)
        else:
            self._report_unknown((*path, "context"), context_name, sorted(source.contexts), config, content)
        return None

    def kubeconfig_id(self, config: ClusterConfig, content: str | None) -> tuple[Any, ...]:
        """Return a value that is equal for two clusters with the same kubeconfig."""
        if content is not None:
            return (content,)
        return self._files(config)

    def _files(self, config: ClusterConfig) -> tuple[Path, ...]:
        return (Path(expand_path(config.kubeconfig)),) if config.kubeconfig is not None else self._default_files

    def _read(self, name: str, config: ClusterConfig, content: str | None) -> kubeconfig.Kubeconfig | KubeconfigError:
        if content is not None:
            label = f"kubeconfigs.{name}"
            return _try_read(lambda: kubeconfig.parse_kubeconfig(content, label), label)
        files = self._files(config)
        if files not in self._cache:
            if config.kubeconfig is not None and not _is_file(files[0]):
                self._cache[files] = KubeconfigError(f"{files[0]}: {_NO_SUCH_FILE}")
            else:
                self._cache[files] = _try_read(lambda: kubeconfig.read_kubeconfigs(files), str(files[0]))
        return self._cache[files]

    def _report_unreadable(self, name: str, config: ClusterConfig, content: str | None, error: KubeconfigError) -> None:
        if content is not None:
            rule = str(error).removeprefix(f"kubeconfigs.{name}: ")
            remedy = error.remedy or kubeconfig.FLATTEN_REMEDY
            self._errors.add(("kubeconfigs", name), "[secret]", rule, remedy)
            return
        is_own = config.kubeconfig is not None
        files = self._files(config)
        file = next((file for file in files if str(error).startswith(f"{file}: ")), files[0])
        path = ("clusters", name, "kubeconfig") if is_own else ("$KUBECONFIG",)
        value, rule = config.kubeconfig if is_own else str(file), str(error).removeprefix(f"{file}: ")
        remedy = "correct the file, or name another one"
        if rule == _NO_SUCH_FILE:
            remedy = "name an existing file"
        elif error.remedy is not None:
            remedy = error.remedy
        elif not is_own:
            remedy = "correct the file, or set $KUBECONFIG to another one"
        self._errors.add(path, value, rule, remedy)

    def _report_problems(
        self,
        context_name: str,
        name: str,
        config: ClusterConfig,
        content: str | None,
        problems: Sequence[Problem],
    ) -> None:
        for problem in problems:
            rule = f"context {context_name}: {problem.rule}"
            if content is not None:
                self._errors.add(("kubeconfigs", name), "[secret]", problem.rule, problem.remedy)
            elif config.kubeconfig is not None:
                self._errors.add(("clusters", name, "kubeconfig"), config.kubeconfig, rule, problem.remedy)
            else:
                self._errors.add(("$KUBECONFIG",), problem.file, rule, problem.remedy)

    def _report_unknown(
        self,
        path: tuple[str, ...],
        context_name: str,
        known: Sequence[str],
        config: ClusterConfig,
        content: str | None,
    ) -> None:
        is_own = content is not None or config.kubeconfig is not None
        files = ", ".join(map(str, self._files(config))) if config.kubeconfig is None else config.kubeconfig
        if content is not None:
            files = f"kubeconfigs.{path[1]}"
        remedy = "choose one of them" if is_own else "choose one of them, or set $KUBECONFIG"
        if not known:
            remedy = "set a kubeconfig that has it" if is_own else "set $KUBECONFIG to a file that has it"
        if not is_own and any(str(file).startswith("~") for file in self._files(config)):
            remedy = kubeconfig.HOME_FOLDER_REMEDY
        self._errors.add(path, context_name, f"no such context in {files} (known: {join_names(known)})", remedy)


def _find_problems(context: kubeconfig.Context, *, is_secret: bool) -> list[Problem]:
    """Return the reasons why kubectl, or another machine, cannot use a context."""
    files = context.file_references if is_secret else ()
    return [*context.problems, *(_file_reference_problem(key) for key in files)]


def _file_reference_problem(key: str) -> Problem:
    # The path may be any pasted text, so the message leaves it out.
    if key == "exec.command":
        rule = "its exec.command is a path relative to a file"
        remedy = "write the plugin's name, to be found on PATH, or its absolute path"
    else:
        rule = f"its {key} is a file, which other machines do not have"
        remedy = "write the token itself as `token`, or use an `exec` plugin"
        if key != "tokenFile":
            remedy = kubeconfig.FLATTEN_REMEDY
    return Problem(rule=rule, remedy=remedy)


def _try_read(read: Callable[[], kubeconfig.Kubeconfig], label: str) -> kubeconfig.Kubeconfig | KubeconfigError:
    try:
        return read()
    except KubeconfigError as error:
        return error
    except ValueError:  # invalid file name
        return KubeconfigError(f"{label}: not a kubeconfig")


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False
