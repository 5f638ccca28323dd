"""Resolution of profiles: their routes, from the stack file or from a document."""

from __future__ import annotations

from pathlib import Path

from mesh.config.errors import ELLIPSIS, ValidationErrors
from mesh.config.models.services import ProfileConfig
from mesh.config.parser import ParsedStackFile
from mesh.config.resolved import Profile
from mesh.linkerd_releases import LinkerdRelease
from mesh.service_profiles.document import ProfileDocumentError
from mesh.service_profiles.openapi import read_openapi
from mesh.service_profiles.protobuf import read_protobuf
from mesh.service_profiles.routes import ProfileRoute

# The Gateway API's limit for the path of an HTTPRoute, in characters.
_MAX_ROUTE_PATH_LENGTH = 1024

# Each of them is an object in each cluster, and Linkerd's controllers send all of them to each client.
_MAX_HTTP_ROUTES = 1000

_SOURCES = ("routes", "openapi", "protobuf")


class ProfileResolver:
    """Resolver of profiles.

    Args:
        parsed: the stack file.
        folder: folder of the stack file, which paths of documents are relative to.
        linkerd_release: the Linkerd release of the mesh.
        errors: collects validation errors.
    """

    def __init__(
        self, parsed: ParsedStackFile, folder: Path, linkerd_release: LinkerdRelease, errors: ValidationErrors
    ) -> None:
        self._parsed, self._folder, self._linkerd_release, self._errors = parsed, folder, linkerd_release, errors

    def resolve(
        self, path: tuple[str | int, ...], config: ProfileConfig | None, *, has_default_routes: bool
    ) -> Profile | None:
        """Return a profile, and report routes that cannot work.

        Args:
            path: path of the profile.
            config: the profile; None: none.
            has_default_routes: whether a sample has routes of its own.
        """
        if config is None:
            return None
        sources = [key for key in _SOURCES if getattr(config, key)]
        if len(sources) > 1:
            rule = f"{sources[0]} has the routes already"
            self._errors.add((*path, sources[1]), ELLIPSIS, rule, "remove one of the two")
        elif not (sources or has_default_routes or self._errors.is_invalid(*path)):
            self._errors.add(path, ELLIPSIS, "has no routes", "set routes, openapi or protobuf")
        self._check_form(path, config)
        routes = tuple(self._list_routes(path, config))
        self._check_routes(path, config, routes)
        # Linkerd's CLI writes no retry budget for the routes of a document.
        has_budget = sources in ([], ["routes"]) or "retry_budget" in config.model_fields_set
        return Profile(form=config.form, routes=routes, retry_budget=config.retry_budget if has_budget else None)

    def _list_routes(self, path: tuple[str | int, ...], config: ProfileConfig) -> list[ProfileRoute]:
        routes = [route.to_route() for route in config.routes]
        shortened = self._linkerd_release.has_shortened_profile_paths
        for key, document in (("openapi", config.openapi), ("protobuf", config.protobuf)):
            if document is None:
                continue
            file = self._folder / document
            try:
                routes += read_openapi(file, has_shortened_paths=shortened) if key == "openapi" else read_protobuf(file)
            except ProfileDocumentError as error:
                for fault in error.faults:
                    self._errors.add((*path, key), document, fault.located_rule, fault.remedy)
        return routes

    def _check_form(self, path: tuple[str | int, ...], config: ProfileConfig) -> None:
        if config.form != "gateway-api":
            return
        if not self._linkerd_release.has_route_annotations:
            rule = f"Linkerd {self._linkerd_release.version} has no retries and timeouts for HTTPRoutes"
            remedy = "choose service-profile, or set linkerd.version to 2.16 or later"
            self._errors.add((*path, "form"), config.form, rule, remedy)
        if "retry_budget" in config.model_fields_set:
            rule = "only a ServiceProfile has a budget, while each HTTPRoute has its own limit"
            remedy = "set retryLimit of the routes instead, or remove it"
            self._errors.add((*path, "retryBudget"), ELLIPSIS, rule, remedy)

    def _check_routes(
        self, path: tuple[str | int, ...], config: ProfileConfig, routes: tuple[ProfileRoute, ...]
    ) -> None:
        uses_routes = config.form == "gateway-api"
        if uses_routes and len(routes) > _MAX_HTTP_ROUTES:
            number_rule = f"{len(routes)} routes would be as many HTTPRoutes, more than {_MAX_HTTP_ROUTES}"
            self._errors.add((*path, "form"), config.form, number_rule, "choose service-profile")
        rule = f"the path of an HTTPRoute has at most {_MAX_ROUTE_PATH_LENGTH} characters"
        long_paths = [route for route in routes if uses_routes and len(route.path_regex) > _MAX_ROUTE_PATH_LENGTH]
        if long_paths and not config.routes:
            self._errors.add((*path, "form"), config.form, rule, "choose service-profile")
        for index, route in zip(self._parsed.original_indices(*path, "routes"), config.routes, strict=True):
            route_path = (*path, "routes", index)
            if uses_routes and len(route.path_regex) > _MAX_ROUTE_PATH_LENGTH:
                self._errors.add((*route_path, "pathRegex"), ELLIPSIS, rule, "split it into several routes")
            if route.retry_limit is not None and not uses_routes:
                limit_rule = "the routes of a ServiceProfile share one budget"
                remedy = "set retryBudget instead, or choose the form gateway-api"
                self._errors.add((*route_path, "retryLimit"), route.retry_limit, limit_rule, remedy)
            elif route.retry_limit is not None and not route.is_retryable:
                limit_rule, remedy = "has no effect without isRetryable", "set isRetryable, or remove it"
                self._errors.add((*route_path, "retryLimit"), route.retry_limit, limit_rule, remedy)
