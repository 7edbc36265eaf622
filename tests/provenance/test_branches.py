from typing import get_args

from diminuendo.labelling.config import LabelConfig
from diminuendo.labelling.description import stated
from diminuendo.provenance.branches import branches_of
from diminuendo.provenance.descent import Corpus, Model
from diminuendo.provenance.trace import Trace


def test_one_speaker_is_no_speakers():
    sizes = {
        "train": {"utterances": 20, "seconds": 90.0, "speakers": 1},
        "dev": {"utterances": 1, "seconds": 3.0, "speakers": 0},
    }
    corpus = Corpus("c" * 64, {"source": "manifest", "splits": sizes})
    model = Model("d" * 64, "teacher", {"stage": "train_teacher", "parameters": {}, "code": "e" * 64}, (), corpus)
    shown = dict(branches_of(Trace(model, {}, {}, frozenset(), ())).children[0].facts)
    assert shown["train"] == "20 utterances, 1.5 minutes, 1 speaker"
    assert shown["dev"] == "1 utterance, 0.1 minutes, 0 speakers"


def test_filters_of_written_texts_that_are_not_asked_are_shown():
    parameters = {"from": "teacher", "max_compression": 2.4, "utterances": 8}
    record = {"stage": "label", "parameters": parameters, "code": "e" * 64}
    model = Model("d" * 64, "heard", record, (), Corpus("c" * 64, {}))
    shown = dict(branches_of(Trace(model, {}, {}, frozenset(), ())).facts)["settings"]
    assert shown == "from teacher, max_compression 2.4, max_wer no limit, min_log_prob no limit, utterances 8"
    parameters |= {"max_wer": 0.0, "min_log_prob": -1.0}
    del parameters["utterances"]
    shown = dict(branches_of(Trace(model, {}, {}, frozenset(), ())).facts)["settings"]
    assert shown == "from teacher, max_compression 2.4, max_wer 0.0, min_log_prob -1.0, utterances all"


def test_every_filter_of_written_texts_has_a_word_for_null():
    """Or a reader of the ancestry could not tell it from one that was not there yet."""
    nullable = {key for key, field in LabelConfig.model_fields.items() if type(None) in get_args(field.annotation)}
    assert nullable and nullable <= set(stated({}))
