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
