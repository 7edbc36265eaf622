"""The alias ``champion``: moved forward by a promotion, back by a rollback, and never absent in between.

The alias alone says who is champion. Setting it is one atomic step, and the last one of both commands: what a killed
command wrote before that step is overwritten by the next command. Champions are kept in a tag of the registered model,
oldest first. Entries after the present champion come from a rollback, or from a promotion that was killed, and are
ignored.
"""

from __future__ import annotations

from datetime import UTC, datetime
from types import EllipsisType
from typing import Any

from diminuendo.core.errors import UserError
from diminuendo.registry.store import existing_store, no_store, store
from diminuendo.registry.version import (
    CHALLENGER,
    CHAMPION,
    FORCED,
    GIT_TAG,
    PROMOTED,
    REASON,
    REPLACES,
    WHY,
    WITHDRAWN,
    NotWhole,
    Version,
    aliased,
    is_whole,
    numbered,
)
from diminuendo.signing import OPEN, Policy

HISTORY = "champions"  # tag of the registered model: numbers of versions
REMEMBERED = 500  # champions; a tag has a limit of 5000 characters in some databases


class Refused(UserError):
    """The version may not be promoted."""


class ChampionChanged(Refused):
    """The decision was about another champion than the present one."""


def promote(
    version: Version,
    *,
    judged_against: str | EllipsisType | None = ...,
    force: bool = False,
    reason: str = "",
    git_tag: str | None = None,
    policy: Policy = OPEN,
) -> Version:
    """Make the version champion; if it is champion already, only finish what a killed command left undone.

    Args:
        judged_against: digest of the champion that the decision is about, None if there was none; by default any
            champion is replaced.
        force: promote it although it was withdrawn.
        reason: kept with the version.
        git_tag: the git tag of the run that made the model; replaces the one given to ``register``.
        policy: which signature it must have; ``force`` does not overrule it.

    Returns:
        The version as it is now.

    Raises:
        ChampionChanged: the champion is neither ``judged_against`` nor this model.
        Refused: it was withdrawn by a rollback.
        Untrusted: its signature in the registry is not what the policy asks for.
        UserError: the registry does not answer, or has no such version.
    """
    with store() as (client, _):
        now = numbered(client, version.name, version.version)
        if now is None:
            raise UserError(f"{version.address}: not in the registry any more")
        current = aliased(client, now.name, CHAMPION)
        if judged_against is not ... and not still_holds(judged_against, now.digest, current):
            then = judged_against[:12] if judged_against else "none"
            there = f"{current.digest[:12]} ({current.address})" if current else "none"
            raise ChampionChanged(
                f"{version.address}: was judged when the champion was {then}, and now it is {there}; "
                "run the command again, so that it is judged against that one"
            )
        now.admit(policy)
        if git_tag and now.git_tag != git_tag:
            client.set_model_version_tag(now.name, now.version, GIT_TAG, git_tag)
        if current is None or current.version != now.version:
            _advance(client, now, current, force, reason)
        if CHALLENGER in now.aliases:  # it is no longer waiting
            client.delete_registered_model_alias(now.name, CHALLENGER)
        return numbered(client, now.name, now.version)


def still_holds(judged_against: str | None, candidate: str, champion: Version | None) -> bool:
    """Whether a decision is still valid: it is about the present champion, or was carried out already.

    Args:
        judged_against: digest of the champion at that time, None if there was none.
        candidate: digest of the model that was judged.
    """
    current = champion.digest if champion else None
    return current in (judged_against, candidate)


def _advance(client: Any, version: Version, current: Version | None, force: bool, reason: str) -> None:
    if version.withdrawn and not force:
        why = version.tags.get(REASON)
        raise Refused(
            f"{version.address} was withdrawn at {version.tags[WITHDRAWN]}{f' ({why})' if why else ''}; "
            "promote another model, or this one with --force --reason TEXT"
        )
    number = current.version if current else ""
    line = [*_history(client, version.name, current), version.version][-REMEMBERED:]
    client.set_registered_model_tag(version.name, HISTORY, " ".join(line))
    tags = {PROMOTED: _now(), REPLACES: number, **({FORCED if force else WHY: reason} if reason else {})}
    for key, value in tags.items():
        client.set_model_version_tag(version.name, version.version, key, value)
    for key in (WITHDRAWN, REASON, WHY):  # from an earlier promotion
        if key in version.tags.keys() - tags.keys():
            client.delete_model_version_tag(version.name, version.version, key)
    client.set_registered_model_alias(version.name, CHAMPION, version.version)


def rollback(name: str, reason: str = "", policy: Policy = OPEN) -> tuple[Version, Version]:
    """Make the previous champion champion again; returns the version that was withdrawn and the champion now.

    Raises:
        Untrusted: the previous champion is not signed as the policy asks; nothing is changed.
        UserError: there is no champion, or none before it.
    """
    with existing_store() as client:  # a mistyped folder must not leave an empty store behind
        if client is None:
            raise no_store()
    with store() as (client, _):
        current = aliased(client, name, CHAMPION)
        if current is None:
            raise UserError(f"{name}: has no champion in the registry, so there is nothing to roll back")
        line = _history(client, name, current)
        previous = None
        for number in reversed(line[:-1]):
            if previous := numbered(client, name, number):
                break
        if previous is None:
            raise UserError(
                f"{name}: version {current.version} is the first champion that is left, there is none before it to "
                "return to; promote another model instead"
            )
        previous.admit(policy)
        if policy.required and not is_whole(previous):
            raise NotWhole(f"{previous.address}: the artifact store does not have the file that was signed")
        client.set_registered_model_tag(name, HISTORY, " ".join(line))
        for key, value in {REASON: reason or "no reason given", WITHDRAWN: _now()}.items():
            client.set_model_version_tag(name, current.version, key, value)
        client.set_registered_model_alias(name, CHAMPION, previous.version)
        return numbered(client, name, current.version), numbered(client, name, previous.version)


def _history(client: Any, name: str, current: Version | None) -> list[str]:
    """The champions so far, the present one last."""
    if current is None:
        return []
    line = client.get_registered_model(name).tags.get(HISTORY, "").split()
    if current.version not in line:  # somebody set the alias by hand
        return [*line, current.version]
    last = len(line) - 1 - line[::-1].index(current.version)
    return line[: last + 1]


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
