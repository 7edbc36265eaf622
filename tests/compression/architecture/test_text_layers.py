"""Layers that a whole Whisper is left, of encoder and decoder, by what is missed without them."""

import pytest
import torch
from pydantic import ValidationError

from diminuendo.compression.architecture.config import CompressArchitectureConfig, RemoveLayersConfig
from diminuendo.compression.architecture.description import in_words
from diminuendo.compression.architecture.layer_removal import remove_layers
from diminuendo.core.errors import UserError
from diminuendo.export.check import check_parity
from diminuendo.export.trained import deliver
from diminuendo.models.store import load_model
from tests.factories.jobs import make_member
from tests.factories.models import ToneCorpus, speech_batch, tiny_model
from tests.factories.whisper_text import tiny_text_whisper
from tests.factories.whisper_vocabulary import SPECIAL, SPELT, VOCABULARY, vocabulary_tokenizer


def corpus() -> ToneCorpus:
    found = ToneCorpus(("ab cd", "ba"), ("ab cd", "cab"), (), tokenizer=vocabulary_tokenizer())
    found.sample_rate = 16000
    return found


def model():
    """Of two layers in the encoder and three in the decoder, all with alignment heads."""
    layers = tiny_text_whisper().record.layers * 2
    keys = {"vocabulary": VOCABULARY, "special": SPECIAL, "layers": layers}
    return tiny_text_whisper(3, ({}, {}, {}), alignment_heads=((0, 1), (1, 0), (2, 1)), **keys)


def silenced(whisper, layer):
    """Make a layer add nothing."""
    with torch.no_grad():
        for group in whisper.structure().groups.values():
            if group.key[0] == layer:
                reader = whisper.get_submodule(group.reader)
                reader.weight.zero_()
                reader.bias.zero_()
    return whisper


def remove(whisper, **counts):
    return remove_layers(whisper, corpus(), RemoveLayersConfig(**counts), batch_seconds=2.0, seed=0)


def said(whisper):
    with torch.inference_mode():
        return whisper.write(whisper.heard(whisper.frontend(*speech_batch(16000))[0])[-1])


def test_layers_of_the_decoder_that_do_nothing_go_first_and_are_not_missed():
    whisper = silenced(model(), 2 + 1)
    smaller, summary = remove(whisper, decoder_count=1)
    assert summary["kept"] == [0, 1] and summary["removed"] == []
    assert summary["decoder"]["removed"] == [1] and summary["decoder"]["kept"] == [0, 2]
    measured = summary["decoder"]["divergence_without_layer"][0]
    assert measured["1"] == min(measured.values()) < 1e-4 < measured["0"]
    assert smaller.record.alignment_heads == ((0, 1), (1, 1))
    assert summary["parameters"] < summary["parameters_before"]
    for found, expected in zip(said(smaller), said(whisper)):
        torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)


def test_those_of_the_encoder_are_measured_by_what_is_written():
    whisper = silenced(silenced(model(), 0), 2)
    smaller, summary = remove(whisper, count=1, decoder_count=1)
    assert summary["removed"] == [0] and summary["decoder"]["removed"] == [0]
    torch.testing.assert_close(said(smaller)[1], said(whisper)[1], atol=1e-4, rtol=1e-4)


def test_counts_that_leave_nothing_are_refused():
    with pytest.raises(UserError, match=r"remove_layers\.decoder_count: 3 of 3 layers; at least one must stay"):
        remove(model(), decoder_count=3)
    with pytest.raises(UserError, match=r"remove_layers\.decoder_count: 1, and the model has no decoder"):
        remove(tiny_model(), decoder_count=1)
    with pytest.raises(ValidationError, match="give count, or decoder_count of a model with a decoder, or both"):
        RemoveLayersConfig()


def test_it_is_measured_by_what_the_model_writes_and_not_by_the_texts_of_the_corpus():
    whisper = model()
    _, summary = remove(whisper, decoder_count=1)
    texts = ToneCorpus(("ab cd", "ba"), ("c" * 300, "c" * 400), (), tokenizer=vocabulary_tokenizer())
    texts.sample_rate = 16000  # too long for it; its audio is as long
    config = RemoveLayersConfig(decoder_count=1)
    _, found = remove_layers(whisper, texts, config, batch_seconds=2.0, seed=0)
    assert found["measured_utterances"] == summary["measured_utterances"] == 2


def test_the_member_is_trained_and_its_file_writes_the_same(tmp_path):
    (tmp_path / "models/teacher").mkdir(parents=True)
    deliver(tmp_path / "models/teacher", model(), name="teacher", tokens=SPELT, lineage={}, history=[], summary={})
    keys = {"remove_layers": {"count": 1, "decoder_count": 2}, "losses": {"ctc": 0.0, "kl": 1.0, "hidden": 0.5}}
    settings = CompressArchitectureConfig.model_validate({"from": "teacher", **keys})
    assert in_words(settings) == "−1 layers, −2 layers of the decoder"
    make_member("compress_architecture", tmp_path / "models", "shallow", settings, open_corpus=corpus, epochs=1)
    found = load_model(tmp_path / "models/shallow")
    assert len(found.model.record.layers) == 1 == len(found.model.record.decoder)
    assert found.teacher_layers is not None and check_parity(tmp_path / "models/shallow") < 1e-3
