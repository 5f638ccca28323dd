"""Wait until the objects of a manifest are ready.

The wait lists the objects once and returns if all are ready. Otherwise it watches them, so it returns right after the
last change. After some seconds it also watches the pods and events of their namespaces, and reports why objects are not
ready. A cause that cannot resolve itself ends the wait early.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from mesh.kube.client import METADATA_LIST_MEDIA_TYPE, KubeClient
from mesh.kube.errors import KubeError, to_single_line
from mesh.kube.json_access import as_mapping, as_text
from mesh.kube.watch import Collection, ObjectName, Watches, is_refused
from mesh.readiness.conditions import WAITED_KINDS, is_ready
from mesh.readiness.diagnosis import Diagnosis, RemedySettings, diagnose, format_report, format_short
from mesh.readiness.limits import WaitLimits
from mesh.readiness.permanent_causes import PermanentCauses

# Most waits end before the first report. Causes that are there much earlier are from before the wait.
FIRST_DIAGNOSIS_S = 0.5
FIRST_REPORT_S = 5.0
# A diagnosis sends some requests, so changes in quick succession share one.
MIN_DIAGNOSIS_INTERVAL_S = 1.0
# For changes that no watch shows, such as those that the user may not read.
MAX_DIAGNOSIS_INTERVAL_S = 10.0
RETRY_REMEDY = "run `pulumi up` again, which waits again and upgrades nothing"
_MAX_REPORTED_OBJECTS = 3
_RETRY_DELAY_S = 1.0


class ObjectsNotReadyError(Exception):
    """Objects are not ready in time, or will never be; the message has each object, its causes and their remedies."""


@dataclass(frozen=True, kw_only=True)
class _Target:
    """An object to wait for."""

    kind: str
    name: ObjectName
    collection: Collection
    desired: Mapping[str, Any] = field(repr=False, compare=False)


class ReadinessWait:
    """A wait for the objects of one owner, such as a Helm release.

    Args:
        client: the cluster's client.
        objects: objects of a manifest; those of other kinds than `WAITED_KINDS` are ignored.
        namespace: namespace of the objects that name none.
        settings: names for messages and remedies.
        limits: limits of the wait.
        awaits_address: whether a Service of type LoadBalancer needs an address.
        report: called with the status line, five seconds after the start and after each change of it.
    """

    def __init__(
        self,
        client: KubeClient,
        objects: Iterable[Mapping[str, Any]],
        *,
        namespace: str,
        settings: RemedySettings,
        limits: WaitLimits,
        awaits_address: bool = True,
        report: Callable[[str], None],
    ) -> None:
        self._client, self._settings, self._limits, self._report = client, settings, limits, report
        self._targets = list(_find_targets(objects, namespace, awaits_address=awaits_address))
        self._began = time.monotonic()
        self._status = ""
        self._permanent_causes = PermanentCauses()
        self._has_related_watches = False

    def run(self) -> None:
        """Wait until all objects are ready.

        Raises:
            ObjectsNotReadyError: not all objects are ready in time, one cannot become ready, or they may not be read.
        """
        with Watches(self._client) as watches:
            self._list_targets(watches)
            if self._find_unready(watches):
                watches.start()
                self._follow(watches)

    def _list_targets(self, watches: Watches) -> None:
        """List all objects; repeat a failed request, because there is nothing to watch yet."""
        for collection in dict.fromkeys(each.collection for each in self._targets):
            while collection not in watches.snapshots:
                try:
                    watches.add(collection)
                except KubeError as error:
                    failure = f"{self._settings.subject}: cannot wait until its objects are ready: {error}"
                    if is_refused(error):
                        remedy = f"let the user of clusters.{self._settings.cluster}.context list and watch them"
                        raise ObjectsNotReadyError(f"{failure}; {remedy}") from None
                    if self._elapsed_s() >= self._limits.timeout_s:
                        raise ObjectsNotReadyError(f"{failure}; {RETRY_REMEDY}") from None
                    self._report_status(f"the API server does not respond: {error}")
                    time.sleep(_RETRY_DELAY_S)

    def _follow(self, watches: Watches) -> None:
        next_diagnosis_s = FIRST_DIAGNOSIS_S
        while unready := self._find_unready(watches):
            elapsed_s = self._elapsed_s()
            if elapsed_s >= self._limits.timeout_s:
                limit = f"clusters.{self._settings.cluster}.timeouts.ready"
                remedy = f"{RETRY_REMEDY}; {limit} sets the time limit"
                raise self._error(unready, watches, f"not ready after {self._limits.timeout_s:g} s", remedy)
            if elapsed_s >= next_diagnosis_s:
                self._diagnose(unready, watches)
                if self._limits.fails_early and elapsed_s >= self._permanent_causes.deadline_s:
                    rule = f"not ready after {elapsed_s:.0f} s, and waiting does not help"
                    remedy = f"remove the causes, then {RETRY_REMEDY}; `timeouts.failEarly: false` waits longer"
                    raise self._error(unready, watches, rule, remedy)
                next_diagnosis_s = (
                    FIRST_REPORT_S if elapsed_s < FIRST_REPORT_S else elapsed_s + MAX_DIAGNOSIS_INTERVAL_S
                )
                if self._limits.fails_early:
                    next_diagnosis_s = min(next_diagnosis_s, self._permanent_causes.deadline_s)
            has_changed = watches.wait_for_change(min(self._limits.timeout_s, next_diagnosis_s) - self._elapsed_s())
            if has_changed and elapsed_s >= FIRST_REPORT_S:
                next_diagnosis_s = min(next_diagnosis_s, self._elapsed_s() + MIN_DIAGNOSIS_INTERVAL_S)

    def _elapsed_s(self) -> float:
        return time.monotonic() - self._began

    def _find_unready(self, watches: Watches) -> list[Mapping[str, Any]]:
        """Return the objects that are not ready: the live one, or the manifest's if there is none."""
        unready: list[Mapping[str, Any]] = []
        for target in self._targets:
            live = watches.snapshots[target.collection].objects.get(target.name)
            if live is None or not is_ready(live):
                unready.append(target.desired if live is None else live)
        return unready

    def _watch_related(self, watches: Watches) -> None:
        """Watch the pods and events of the objects; without permission, the status line is only less current."""
        for namespace in dict.fromkeys(each.name[0] for each in self._targets if each.name[0]):
            for kind in ("pods", "events"):
                path = f"/api/v1/namespaces/{quote(namespace, safe='')}/{kind}"
                with suppress(KubeError):
                    watches.add(Collection(path=path, accept=METADATA_LIST_MEDIA_TYPE))
        watches.start()

    def _diagnose(self, unready: Sequence[Mapping[str, Any]], watches: Watches) -> None:
        """Find out why objects are not ready, and report it."""
        elapsed_s = self._elapsed_s()
        if (failure := _find_failure(watches)) is not None:
            self._permanent_causes.update([], elapsed_s)
            self._report_status(f"the API server does not respond: {failure}")
            return
        diagnoses = diagnose(self._client, unready, self._settings, with_logs=False)
        if elapsed_s < FIRST_REPORT_S:
            self._permanent_causes.record_earlier(diagnoses)
            return
        if not self._has_related_watches:
            self._watch_related(watches)
            self._has_related_watches = True
        self._permanent_causes.update(diagnoses, elapsed_s)
        self._report_status(self._status_line(diagnoses))

    def _status_line(self, diagnoses: Sequence[Diagnosis]) -> str:
        ready = len(self._targets) - len(diagnoses)
        waiting = ", ".join(format_short(each) for each in diagnoses[:_MAX_REPORTED_OBJECTS])
        more = len(diagnoses) - _MAX_REPORTED_OBJECTS
        suffix = f", and {more} more" if more > 0 else ""
        return f"{ready} of {len(self._targets)} ready; waiting for {waiting}{suffix}"

    def _report_status(self, status: str) -> None:
        if status != self._status and self._elapsed_s() >= FIRST_REPORT_S:
            self._status = status
            self._report(f"{self._settings.subject}: {status}")

    def _error(
        self, unready: Sequence[Mapping[str, Any]], watches: Watches, rule: str, remedy: str
    ) -> ObjectsNotReadyError:
        lines = [f"{self._settings.subject}: {rule}: {len(unready)} of {len(self._targets)} objects"]
        if (failure := _find_failure(watches)) is not None:
            lines.append(f"  the API server does not respond: {failure}")
        diagnoses = diagnose(self._client, unready, self._settings, with_logs=True)
        lines += [f"  {line}" for line in format_report(diagnoses)]
        return ObjectsNotReadyError("\n".join([*lines, remedy]))


def _find_failure(watches: Watches) -> str | None:
    """Return why the objects may be out of date, or None."""
    errors = [each.error for each in watches.snapshots.values() if each.error is not None]
    return to_single_line(errors[0]) if errors else None


def _find_targets(objects: Iterable[Mapping[str, Any]], namespace: str, *, awaits_address: bool) -> Iterable[_Target]:
    """Yield the objects that can be waited for, each with the collection that contains it."""
    for body in objects:
        kind, metadata = str(body.get("kind")), as_mapping(body, "metadata")
        is_load_balancer = as_mapping(body, "spec").get("type") == "LoadBalancer"
        if kind not in WAITED_KINDS or (kind == "Service" and not (is_load_balancer and awaits_address)):
            continue
        version, plural, is_namespaced = WAITED_KINDS[kind]
        root = f"/apis/{version}" if "/" in version else f"/api/{version}"
        object_namespace = (as_text(metadata.get("namespace")) or namespace) if is_namespaced else ""
        in_namespace = f"/namespaces/{quote(object_namespace, safe='')}" if is_namespaced else ""
        yield _Target(
            kind=kind,
            name=(object_namespace, as_text(metadata.get("name"))),
            # Helm labels all objects of a release. Other CRDs of the cluster are megabytes.
            collection=Collection(
                path=f"{root}{in_namespace}/{plural}",
                label_selector="app.kubernetes.io/managed-by=Helm" if kind == "CustomResourceDefinition" else "",
            ),
            desired={**body, "metadata": {**metadata, "namespace": object_namespace}},
        )
