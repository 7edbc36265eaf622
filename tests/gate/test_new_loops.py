"""A whole gate about a model that repeats itself, from what the evaluation decoded."""

from __future__ import annotations

from pathlib import Path

import pytest

from diminuendo.config.evaluation import NoiseConfig
from diminuendo.core.files import sha256_of
from diminuendo.data.prepared import PreparedCorpus
from diminuendo.evaluation.family import accuracy_metrics
from diminuendo.gate import gate
from diminuendo.gate.inputs import open_model
from diminuendo.gate.table import markdown, verdict
from diminuendo.parameters import parse_params
from diminuendo.registry.card import model_card
from tests.factories.evaluation import TEXTS
from tests.factories.repeating import LOOP, decode_as_told
from tests.factories.shipping import raw_params

NOISE = {"snr_db": [10], "utterances": 2}
KEY = ("teacher", "new_loops")
WRITTEN = {
    "teacher": [*TEXTS, LOOP, "stop", "", "", LOOP, ""],
    "student": [*TEXTS, LOOP, "stop", "uh", LOOP, LOOP, ""],  # one that its teacher has not, in noise alone
    "slim": [*TEXTS, "stop", "stop", "", "", LOOP, ""],
}


@pytest.fixture
def scored(shop):
    """The settings, and what an evaluation of the whole family found."""
    raw = raw_params()
    raw["evaluate"] |= {"noise": NOISE}
    raw["gate"] |= {"new_loops": 0, "teacher": {**raw["gate"]["teacher"], "insertions": 0.9}}
    settings = parse_params(raw)
    corpus = PreparedCorpus.open(Path("data/prepared"))
    models = {name: Path("models", name) for name in WRITTEN}
    decode_as_told(models, corpus, NoiseConfig(**NOISE), settings.seed, Path("scored"), WRITTEN)
    digests = {name: sha256_of(folder / "model.onnx") for name, folder in models.items()}
    return settings, accuracy_metrics(models, digests, corpus, settings.evaluate, settings.seed, Path("scored"))[
        "members"
    ]


@pytest.mark.parametrize(("member", "new"), [("student", 1), ("slim", 0)])
def test_evaluation_gate_and_card_say_the_same(scored, member, new):
    settings, members = scored
    told: list[str] = []
    model = Path("models", member, "model.onnx")
    decision = gate(
        settings,
        model,
        tests={"home": Path("data/prepared")},
        champion=None,
        fetch=lambda *_: None,
        evaluation=Path("scored"),
        say=told.append,
    )
    rule = next(rule for rule in decision.rules if (rule.reference, rule.name) == KEY)
    assert rule.figure == new == members[member]["loops"]["all"]["new"]
    assert not any("decoding" in line for line in told)  # the evaluation has the teacher's clips as well
    assert (decision.passed, "new repetition loops against the teacher" in verdict(decision)) == (not new, bool(new))
    page = markdown(decision)
    assert ("noise alone 1 of 2" if new else "14 texts") in page and ("TOO MANY" in page) == bool(new)
    figures = decision.tests[0].figures["candidate"]
    counted = members[member]["loops"].items()
    own = {name: {key: one[key] for key in ("utterances", "loops", "new")} for name, one in counted}
    assert figures["loops"] == own
    assert figures["hallucinated"] == members[member]["hallucinated"]
    card = model_card("commands", open_model(model), decision)
    assert f"; {new} where its teacher has none." in card and "- home: silence:" in card and "its teacher" in card
