"""Groups of units of a whole Whisper: what of it can go, and what becomes of the rest."""

import pytest
import torch

from diminuendo.compression.distillation.copy import record_like
from diminuendo.compression.pruning.structured import keep_units, summary_of
from diminuendo.core.errors import UserError
from diminuendo.models.factorised import linear_shape
from diminuendo.models.model import parameter_count
from diminuendo.models.parent_architecture import ParentArchitecture
from tests.factories.models import speech_batch
from tests.factories.whisper_text import session_of, tiny_text_whisper, written

BATCH = speech_batch(16000, (0.5, 0.33))
TEXT = torch.tensor([[40, 41, 43, 46, 5, 6, 7], [40, 41, 43, 46, 9, 8, 8]])
ENCODER = [(0, "attention"), (0, "feed_forward")]
DECODER = [(layer, module) for layer in (1, 2) for module in ("attention", "cross_attention", "feed_forward")]


def model(decoder=({}, {}), **keys):
    """With biases, which Whisper's own attention to the audio has as well."""
    found = tiny_text_whisper(3, decoder, **keys)
    with torch.no_grad():
        for name, parameter in found.named_parameters():
            if name.endswith("bias"):
                parameter.normal_(std=0.3)
    return found


def told(whisper):
    """Log-probabilities along a text ``[B, L, V]``."""
    with torch.inference_mode():
        return whisper.decoder(TEXT, whisper.heard(whisper.frontend(*BATCH)[0])[-1])


def everything(whisper):
    return {key: torch.arange(group.count) for key, group in whisper.structure().groups.items()}


def test_layers_of_the_decoder_follow_on_those_of_the_encoder():
    whisper = model(({"heads": 0, "cross_heads": 3}, {}))
    structure = whisper.structure()
    assert list(structure.groups) == [*ENCODER, *DECODER[1:]]
    kinds = ["heads", "feed_forward", "cross_heads", "decoder_feed_forward"]
    assert list(dict.fromkeys(group.kind for group in structure.groups.values())) == [*kinds, "decoder_heads"]
    assert structure.groups[1, "cross_attention"].count == 3
    for key, group in structure.groups.items():
        path = f"layers.0.{key[1]}" if key[0] == 0 else f"decoder.layers.{key[0] - 1}.{key[1]}"
        assert group.path == path
        assert {linear_shape(whisper.get_submodule(writer))[1] for writer in group.writers} == {group.rows}
        assert linear_shape(whisper.get_submodule(group.reader))[0] == group.rows


@pytest.mark.parametrize("key", [*ENCODER, *DECODER], ids=str)
def test_units_that_add_nothing_can_go_and_a_bias_that_is_left_moves(key):
    whisper = model()
    group = whisper.structure().groups[key]
    with torch.no_grad():
        whisper.get_submodule(group.reader).weight.zero_()
    for left in (1, 0):
        smaller = keep_units(whisper, everything(whisper) | {key: torch.arange(left)})
        torch.testing.assert_close(told(smaller), told(whisper), atol=1e-4, rtol=1e-4)
        assert parameter_count(smaller) < parameter_count(whisper)
    assert summary_of(whisper, smaller)["removed_modules"] == [group.path]


def test_a_whole_layer_of_the_decoder_can_go():
    whisper = model()
    gone = {key: torch.arange(0) for key in DECODER[:3]}
    with torch.no_grad():
        for key in gone:
            whisper.get_submodule(whisper.structure().groups[key].reader).weight.zero_()
    smaller = keep_units(whisper, everything(whisper) | gone)
    torch.testing.assert_close(told(smaller), told(whisper), atol=1e-4, rtol=1e-4)


def test_the_heads_that_tell_where_a_word_was_said_follow():
    whisper = model(({"cross_heads": 4}, {"cross_heads": 4}), alignment_heads=((0, 1), (0, 3), (1, 0)))
    kept = everything(whisper) | {
        (1, "cross_attention"): torch.tensor([0, 3]),
        (2, "cross_attention"): torch.tensor([0, 1, 3]),
    }
    smaller = keep_units(whisper, kept)
    assert smaller.record.alignment_heads == ((0, 1), (1, 0))
    found, before = (written(session_of(one), *BATCH)["alignment"][:, :, 0] for one in (smaller, whisper))
    assert found.shape[1] == 2 and before.shape[1] == 3
    # The first layer hears the prompt through the same head as before.
    alone = keep_units(whisper, everything(whisper) | {(1, "cross_attention"): torch.tensor([3])})
    assert alone.record.alignment_heads == ((0, 0), (1, 0))
    assert abs(written(session_of(alone), *BATCH)["alignment"][:, 0, 0] - before[:, 1]).max() < 1e-5
    none = whisper.record.with_units({(1, "cross_attention"): 1, (2, "cross_attention"): 0})
    assert none.alignment_heads == () and none.decoder[0].cross_heads == 1


def test_a_model_that_would_hear_nothing_is_refused():
    whisper = model()
    deaf = {(layer, "cross_attention"): torch.arange(0) for layer in (1, 2)}
    with pytest.raises(UserError, match=r"no head of the decoder would be left that attends to the audio"):
        keep_units(whisper, everything(whisper) | deaf)
    second = keep_units(whisper, everything(whisper) | {(2, "cross_attention"): torch.arange(0)})
    assert second.record.with_decoder_layers([0]).decoder_layer_count == 1
    with pytest.raises(UserError, match=r"no head of the decoder would be left that attends to the audio"):
        second.record.with_decoder_layers([1])
    copied = ParentArchitecture(kind="parent", decoder_layers=1)  # the last is kept, which hears nothing
    with pytest.raises(UserError, match=r"^architecture\.decoder_layers: 1 of the parent's 2 \(from 0: 1\): no head"):
        record_like(second, copied, None)


def test_widths_of_the_decoder_are_told_by_kind():
    whisper = model(({"heads": 0}, {"cross_heads": 3}))
    smaller = keep_units(whisper, everything(whisper) | {(2, "cross_attention"): torch.tensor([1])})
    assert summary_of(whisper, smaller)["widths_before"] == {
        "heads": [2],
        "feed_forward": [12],
        "decoder_heads": [0, 2],
        "cross_heads": [2, 3],
        "decoder_feed_forward": [12, 12],
    }
    assert summary_of(whisper, smaller)["widths"]["cross_heads"] == [2, 1]
