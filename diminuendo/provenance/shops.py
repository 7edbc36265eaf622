"""The sections ``ship`` of a project's families: under which names they are registered, and who must sign them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from pydantic import ValidationError

from diminuendo.config.shipping import ShipConfig
from diminuendo.core.errors import UserError
from diminuendo.provenance.history import parameters_at
from diminuendo.provenance.homes import PARAMS, homes
from diminuendo.signing import OPEN, Policy, policy_of


def ship_of(project: Path, parameters: str = PARAMS) -> ShipConfig | None:
    """That of one parameter file; None if it has none.

    Raises:
        UserError: it cannot be understood, so that it is not known what it asks for.
    """
    section = parameters_at(project, None, parameters).get("ship")
    try:
        return None if section is None else ShipConfig.model_validate(section)
    except ValidationError as error:
        reason = error.errors()[0]["msg"]
        raise UserError(f"{parameters}: ship: {reason}; `diminuendo check` says more") from None


def shops(project: Path) -> Iterator[ShipConfig]:
    """Those of all families, the main one first."""
    for home in homes(project):
        if (ship := ship_of(project, home.parameters)) is not None:
            yield ship


def policy_for(name: str, project: Path | None) -> Policy:
    """Which signature a registered model of this name must have, by the parameter files of the project."""
    for ship in shops(project) if project is not None else ():
        if ship.model == name:
            return policy_of(ship, project)
    return OPEN
