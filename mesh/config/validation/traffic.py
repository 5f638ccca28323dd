"""Validators of the settings that samples and declared services share."""

from __future__ import annotations

from dataclasses import dataclass

from mesh.config.validation.exports import ExportValidator
from mesh.config.validation.profiles import ProfileResolver
from mesh.config.validation.routes import RouteValidator


@dataclass(frozen=True, kw_only=True)
class TrafficValidators:
    """Validators of exports, of splits and failovers, and of profiles."""

    exports: ExportValidator
    routes: RouteValidator
    profiles: ProfileResolver
