"""A model that is left fewer tokens says the same of those that it has."""

import numpy as np
import pytest
import torch

from diminuendo.core.errors import UserError
from diminuendo.models.trimmed import with_tokens
from tests.factories.models import tiny_model
from tests.factories.whisper_text import SPECIAL, VOCABULARY, WORDS, session_of, tiny_text_whisper, written

LEFT = [*range(5, WORDS, 3), *range(WORDS, VOCABULARY)]
OTHERS = sorted(set(range(VOCABULARY)) - set(LEFT))


def waveforms(count: int = 6) -> tuple[torch.Tensor, torch.Tensor]:
    x = torch.from_numpy(np.random.default_rng(3).normal(size=(count, 9600)).astype(np.float32) * 0.3)
    return x, torch.tensor([9600 - 900 * row for row in range(count)])


def suppressed(model):
    """The same model, that never writes the others."""
    special = model.record.special
    special = special.model_copy(update={"suppressed": tuple({*special.suppressed, *OTHERS})})
    mute = type(model)(model.record.model_copy(update={"special": special})).eval()
    mute.load_state_dict(model.state_dict())
    return mute


def test_scores_of_the_tokens_that_are_left_are_the_same():
    model = tiny_text_whisper()
    ours = with_tokens(model, LEFT)
    assert ours.record.vocabulary == len(LEFT) and not ours.training
    state = torch.randn(2, 3, 8)
    with torch.no_grad():
        torch.testing.assert_close(ours.decoder.scores(state), model.decoder.scores(state)[..., LEFT], rtol=0, atol=0)


def test_special_tokens_keep_their_meaning():
    assert with_tokens(tiny_text_whisper(), LEFT).record.languages.keys() == {"en", "de"}
    special = with_tokens(tiny_text_whisper(), LEFT, ["en"]).record.special
    assert [LEFT[token] for token in special.prompt("en", "translate")] == list(SPECIAL.prompt("en", "translate"))
    assert special.languages.keys() == {"en"} and LEFT[special.first_timestamp] == SPECIAL.first_timestamp
    for name in ("end", "previous", "no_speech"):
        assert LEFT[getattr(special, name)] == getattr(SPECIAL, name)
    for name in ("suppressed", "suppressed_first"):
        assert [LEFT[t] for t in getattr(special, name)] == [t for t in getattr(SPECIAL, name) if t in LEFT]


@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize("timestamps", [False, True])
def test_a_file_writes_what_the_whole_one_writes_of_these_tokens(seed, timestamps):
    model = tiny_text_whisper(seed)
    ours, whole = session_of(with_tokens(model, LEFT)), session_of(suppressed(model))
    prompt = SPECIAL.prompt(timestamps=timestamps)
    found = written(ours, *waveforms(), prompt=np.array([LEFT.index(token) for token in prompt]))
    expected = written(whole, *waveforms(), prompt=np.array(prompt))
    assert found["lengths"].tolist() == expected["lengths"].tolist()
    assert [[LEFT[token] for token in row] for row in found["tokens"]] == expected["tokens"].tolist()
    if not timestamps:
        np.testing.assert_allclose(found["alignment"], expected["alignment"], atol=1e-6)


def test_what_it_cannot_do_without_is_told():
    model = tiny_text_whisper()
    with pytest.raises(UserError, match=r"special\.previous: the token 46 is none of those that are left; keep it"):
        with_tokens(model, [token for token in LEFT if token != SPECIAL.previous])
    with pytest.raises(UserError, match=r"timestamps are missing among the tokens that are left"):
        with_tokens(model, LEFT[:-1])
    without = [token for token in LEFT if token != SPECIAL.languages["de"]]
    assert with_tokens(model, without, ["en"]).record.vocabulary == len(without)
    with pytest.raises(UserError, match=r"special\.de: the token 43 is none of those that are left; keep it"):
        with_tokens(model, without)
    with pytest.raises(UserError, match=r"^languages: fr, xx; the model can be told to write en, de$"):
        with_tokens(model, LEFT, ["en", "fr", "xx"])


def test_a_model_that_writes_no_text_token_after_token_is_refused_in_a_sentence():
    with pytest.raises(UserError, match=r"^vocabulary: models of kind conformer do not write token after token"):
        with_tokens(tiny_model(), [0, 1])
