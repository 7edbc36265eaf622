"""From a file that passed the gate to a version in the registry."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from diminuendo.core.errors import UserError
from diminuendo.core.files import write_text
from diminuendo.registry import logged
from diminuendo.registry.promotion import Refused
from diminuendo.registry.signature import keep_signature
from diminuendo.registry.store import store
from diminuendo.registry.version import (
    BYTES,
    CER,
    CHALLENGER,
    CHAMPION,
    COMMIT,
    CORPUS,
    DECISION,
    DIGEST,
    DIRTY,
    FORCED,
    GATE_RUN,
    GIT_TAG,
    LOGGED,
    MEMBER,
    NORMALIZER,
    UNIT,
    WER,
    Version,
    all_versions,
    is_whole,
    numbered,
)

if TYPE_CHECKING:
    from diminuendo.gate.decision import Decision
    from diminuendo.gate.inputs import Model
    from diminuendo.parameters import Params

CARD = "model_card.md"


def register(
    params: Params,
    model: Path,
    decision: Decision,
    *,
    git_tag: str | None = None,
    force: bool = False,
    reason: str = "",
) -> Version:
    """Register the file under ``ship.model`` with the alias ``challenger``; the same file is the same version again.

    The version points at the MLflow model that the pipeline logged for these bytes; if MLflow has no intact copy, the
    file is logged now. A version that was withdrawn, or is champion, does not become challenger again. The signature
    beside the file goes with it.

    Args:
        git_tag: the git tag of the run that made the model.
        force: register it although the gate refused it; ``reason`` says why, and is kept.

    Raises:
        Refused: the gate refused it.
        Untrusted: it is not signed as ``ship`` asks.
        UserError: the decision is about another file, or the store does not answer.
    """
    from diminuendo.gate.inputs import open_model
    from diminuendo.registry.card import description, model_card
    from diminuendo.signing import policy_of

    if params.ship is None:
        raise UserError("params.yaml: ship: missing; a registered model needs a name (ship.model)")
    name, file = params.ship.model, open_model(model)
    if file.digest != decision.candidate.digest:
        raise UserError(f"{model}: is not the file that the gate judged ({decision.candidate.digest[:12]}…)")
    if not decision.passed and not force:
        raise Refused(f"{model}: the gate refused it; nothing was registered")
    signature = policy_of(params.ship).admit_file(file.path, file.digest, file.lineage)
    first = decision.tests[0]
    with store() as (client, _):
        own = {
            DIGEST: file.digest,
            MEMBER: file.name,
            CORPUS: str(file.lineage.get("corpus", "")),
            **{rate: f"{first.figures['candidate'][rate]:.6f}" for rate in (WER, CER)},
            UNIT: first.unit,
            NORMALIZER: decision.normalizer["name"],
            BYTES: str(file.bytes),
            DECISION: decision.word,
            **({GATE_RUN: decision.run} if decision.run else {}),
            **({GIT_TAG: git_tag} if git_tag else {}),
            **({FORCED: reason} if force and not decision.passed else {}),
        }
        _make_registered_model(client, name)
        known = all_versions(client, name, file.digest)
        # A version whose file was lost or damaged stays as a record, and a new version replaces it.
        version = next((one for one in known if is_whole(one)), None)
        if version is None:
            version = numbered(client, name, _create(client, name, _logged(client, model, file), own))
        for key, value in (own | _source(client, version.run)).items():
            client.set_model_version_tag(name, version.version, key, value)
        card = model_card(name, file, decision, own.get(FORCED, ""))
        client.update_model_version(name, version.version, description(card))
        source = client.get_model_version(name, version.version).source
        _keep_card(client, source.removeprefix(LOGGED), card)
        if signature is not None:
            keep_signature(client, source, signature)
        if not version.withdrawn and CHAMPION not in version.aliases:
            client.set_registered_model_alias(name, CHALLENGER, version.version)
        return numbered(client, name, version.version)


def _logged(client: Any, path: Path, file: Model) -> Any:
    """The MLflow model that holds the file; logged now if MLflow has no intact copy."""
    kept = logged.whole_model(client, file.digest)
    if kept is None:
        logged.log_now(path, file.name, file.digest, {"input.corpus": str(file.lineage.get("corpus", ""))})
        kept = logged.whole_model(client, file.digest)
    if kept is None:
        raise UserError(
            f"{path}: could not be brought to MLflow: the reason stands in .work/tracking-outbox/sender.log "
            "(or DIMINUENDO_TRACKING is off); run the command again"
        )
    return kept


def _make_registered_model(client: Any, name: str) -> None:
    from mlflow.exceptions import MlflowException

    try:
        client.create_registered_model(name)
    except MlflowException as error:
        if error.error_code not in ("RESOURCE_ALREADY_EXISTS", "ALREADY_EXISTS"):
            raise


def _create(client: Any, name: str, kept: Any, tags: dict[str, str]) -> str:
    made = client.create_model_version(
        name,
        source=f"{LOGGED}{kept.model_id}",
        run_id=kept.source_run_id,
        tags=tags,  # in the same step as the version: without its digest a version would never be found again
        model_id=kept.model_id,
        await_creation_for=None,
    )
    return str(made.version)


def _keep_card(client: Any, model_id: str, card: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        write_text(Path(folder, CARD), card)
        client.log_model_artifacts(model_id, folder)


def _source(client: Any, run: str | None) -> dict[str, str]:
    """Git commit of the run that made the model, and whether files differed from it."""
    if not run:
        return {}
    tags = client.get_run(run).data.tags
    names = {COMMIT: "mlflow.source.git.commit", DIRTY: "git.dirty"}
    return {ours: tags[theirs] for ours, theirs in names.items() if theirs in tags}
