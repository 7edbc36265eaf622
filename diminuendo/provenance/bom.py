"""``diminuendo bom``: a CycloneDX 1.6 bill of materials of a model (https://cyclonedx.org/capabilities/mlbom/).

It says what the file itself states of its ancestry, and nothing that depends on time or place: the same file gives the
same bytes. The library writes and validates it; model cards and the description of data, which it has no classes for
yet, are added to its output in ``bom_card``.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from diminuendo import __version__
from diminuendo.artifact import lineage
from diminuendo.core.errors import UserError
from diminuendo.core.extras import how_to_install
from diminuendo.core.files import canonical_json, json_text
from diminuendo.provenance.bom_card import data_of, leaves, model_card
from diminuendo.provenance.descent import Checkpoint, Corpus, Model

if TYPE_CHECKING:
    from cyclonedx.model import HashType, Property
    from cyclonedx.model.component import Component

OURS = "diminuendo:"  # what the names of our properties begin with


def bill_of_materials(model: Model) -> str:
    """The BOM as JSON text, valid against the schema.

    Raises:
        UserError: the library is not installed, or something in the file has no place in a BOM.
    """
    try:
        import cyclonedx.validation.json  # noqa: F401
    except ModuleNotFoundError as error:
        raise UserError(
            f"this command needs {error.name or 'cyclonedx'}, which is not installed; {how_to_install('bom')}"
        ) from None
    try:
        found = _unchecked(model)
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
        raise _no_place(model, f"{type(error).__name__}: {error}") from None
    from cyclonedx.schema import SchemaVersion
    from cyclonedx.validation.json import JsonStrictValidator

    text = json_text(found)
    if error := JsonStrictValidator(SchemaVersion.V1_6).validate_str(text):
        raise _no_place(model, str(getattr(error, "data", error)))
    return text


def _no_place(model: Model, reason: str) -> UserError:
    first = (reason.splitlines() or [""])[0][:300]
    return UserError(f"{model.path or model.digest}: its lineage has no place in a CycloneDX BOM: {first}")


def _unchecked(model: Model) -> dict[str, Any]:
    from cyclonedx.model.bom import Bom, BomMetaData
    from cyclonedx.output.json import JsonV1Dot6

    components = {model.digest: _model(model)}
    components |= {ref: component for one in model.chain() for ref, component in _made_from(one)}
    bom = Bom(
        metadata=BomMetaData(component=components[model.digest], tools=[_tool()]),
        components=[component for ref, component in components.items() if ref != model.digest],
    )
    for one in model.chain():
        bom.register_dependency(components[one.digest], [components[ref] for ref in _refs(one)])
    found = json.loads(JsonV1Dot6(bom).output_as_string())
    del found["metadata"]["timestamp"], found["serialNumber"]
    _add_cards(found, model)
    found["serialNumber"] = uuid.uuid5(uuid.NAMESPACE_OID, canonical_json(found)).urn
    return found


def _made_from(model: Model) -> Iterator[tuple[str, Component]]:
    """Reference to component of everything that a model was made from itself."""
    for parent in model.parents:
        yield parent.digest, _model(parent)
    if model.corpus is not None:
        yield model.corpus.digest, _corpus(model.corpus)
    if model.checkpoint is not None:
        yield model.checkpoint.digest, _checkpoint(model.checkpoint)
    if version := _torch(model):
        yield f"torch {version}", _package("torch", version)


def _refs(model: Model) -> list[str]:
    return [ref for ref, _ in _made_from(model)]


def _model(model: Model) -> Component:
    from cyclonedx.model.component import Component, ComponentType, Pedigree

    record = model.record or {}
    said = {"stage": record.get("stage"), "code": record.get("code")}
    properties = _properties({key: value for key, value in said.items() if value} | _parameters(record))
    # Without references: each ancestor is a component of its own, too.
    ancestors = [
        Component(name=parent.name, type=ComponentType.MACHINE_LEARNING_MODEL, hashes=_sha256(parent.digest))
        for parent in model.parents
    ]
    return Component(
        name=model.name,
        version=model.digest[:12],
        type=ComponentType.DATA if model.stage == lineage.LABEL else ComponentType.MACHINE_LEARNING_MODEL,
        bom_ref=model.digest,
        hashes=_sha256(model.digest),
        properties=properties,
        pedigree=Pedigree(ancestors=ancestors) if ancestors else None,
    )


def _corpus(corpus: Corpus) -> Component:
    from cyclonedx.model.component import Component, ComponentType

    source = corpus.facts.get("source")
    return Component(
        name=f"prepared corpus, {source}" if source else "prepared corpus",
        version=corpus.digest[:12],
        type=ComponentType.DATA,
        bom_ref=corpus.digest,
        hashes=_sha256(corpus.digest),  # over the digests of its files
        properties=_properties({"raw": corpus.raw} if corpus.raw else {}),
    )


def _checkpoint(checkpoint: Checkpoint) -> Component:
    from cyclonedx.factory.license import LicenseFactory
    from cyclonedx.model.component import Component, ComponentType

    facts = checkpoint.facts
    files = [
        Component(name=name, type=ComponentType.FILE, bom_ref=f"{checkpoint.digest}/{name}", hashes=_sha256(digest))
        for name, digest in sorted(facts["files"].items())
    ]
    licence = facts.get("licence")
    return Component(
        name=facts["source"],
        version=facts.get("revision"),
        type=ComponentType.MACHINE_LEARNING_MODEL,
        bom_ref=checkpoint.digest,
        hashes=_sha256(checkpoint.digest),  # over the names and digests of its files
        licenses=[LicenseFactory().make_from_string(licence)] if licence else None,
        components=files,
    )


def _package(name: str, version: str) -> Component:
    from cyclonedx.model.component import Component, ComponentType
    from packageurl import PackageURL

    return Component(
        name=name,
        version=version,
        type=ComponentType.LIBRARY,
        bom_ref=f"{name} {version}",
        purl=PackageURL("pypi", name=name, version=version),
    )


def _tool() -> Any:
    from cyclonedx.model.tool import Tool

    return Tool(name="diminuendo", version=__version__)


def _torch(model: Model) -> str | None:
    """The version of PyTorch that trained it, if it was trained."""
    device = ((model.record or {}).get("parameters") or {}).get("device")
    return device.get("torch") if isinstance(device, dict) else None


def _parameters(record: dict[str, Any]) -> dict[str, Any]:
    return {f"parameters.{key}": value for key, value in leaves(record.get("parameters") or {})}


def _properties(values: dict[str, Any]) -> list[Property]:
    from cyclonedx.model import Property

    return [Property(name=f"{OURS}{key}", value=_text(value)) for key, value in sorted(values.items())]


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _sha256(digest: str) -> list[HashType]:
    from cyclonedx.model import HashAlgorithm, HashType

    return [HashType(alg=HashAlgorithm.SHA_256, content=digest)]


def _add_cards(found: dict[str, Any], model: Model) -> None:
    """Put the model cards and the descriptions of data into the library's JSON."""
    models = {one.digest: one for one in model.chain()}
    corpora = {corpus.digest: corpus for corpus in model.corpora()}
    for component in (found["metadata"]["component"], *found.get("components", [])):
        ref = component["bom-ref"]
        if ref in models and models[ref].record is not None:
            component["modelCard"] = model_card(models[ref])
        elif ref in corpora:
            component["data"] = [data_of(corpora[ref])]
