"""What ``make repro`` says of a teacher whose members cannot be judged by it."""

import json

import pytest

from diminuendo.family import family_of
from flows.repro import teachers_remark


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({"measure": "wer", "members": {"teacher": {"wer": 0.12, "cer": 2.0}}}, None),
        ({"measure": "wer", "members": {"teacher": {"wer": 2.977}}}, "teacher has a WER of 298%: it recognises next"),
        ({"measure": "cer", "members": {"teacher": {"wer": 0.1, "cer": 0.95}}}, "teacher has a CER of 95%"),
        ({"members": {}}, None),
        (None, None),
    ],
)
def test_a_teacher_that_recognises_next_to_nothing_is_remarked_upon(tmp_path, monkeypatch, content, said):
    monkeypatch.chdir(tmp_path)
    family = family_of("params.yaml")
    if content is not None:
        family.evaluation.mkdir(parents=True)
        (family.evaluation / "metrics.json").write_text(json.dumps(content))
    found = teachers_remark(family)
    assert found is None if said is None else found.startswith(said) and "sample rate" in found
