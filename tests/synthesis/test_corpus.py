import json
from pathlib import Path

import numpy as np
import pytest
import yaml

from diminuendo.core.errors import UserError
from diminuendo.data.prepared import PreparedCorpus
from diminuendo.synthesis.corpus import plan, split_of
from diminuendo.synthesis.noise import babble, colored_noise, mix
from diminuendo.synthesis.voices import load_voices
from tests.factories.audio import ROOT, dummy_params, prepare_corpus

COMMANDS = ROOT / "corpora" / "commands"
SMALL = {
    "data.path": str(COMMANDS),
    "synthesis.train_utterances": 14,
    "synthesis.dev_utterances": 3,
    "synthesis.test_utterances": 4,
}


def prepared(folder: Path, workers: int, **changes) -> Path:
    folder.mkdir()
    prepare_corpus(dummy_params(**{**SMALL, **changes}), folder, workers=workers, say=lambda _line: None)
    return folder


def bytes_of(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    return prepared(tmp_path_factory.mktemp("synthetic") / "prepared", workers=1)


def test_the_same_bytes_twice_and_with_two_workers(corpus, tmp_path):
    assert bytes_of(prepared(tmp_path / "again", workers=2)) == bytes_of(corpus)


def test_another_seed_is_another_corpus(corpus, tmp_path):
    other = prepared(tmp_path / "other", workers=2, seed=1)
    assert PreparedCorpus.open(other).digest != PreparedCorpus.open(corpus).digest


def test_what_was_asked_for_is_there(corpus):
    opened = PreparedCorpus.open(corpus)
    assert [len(opened.split(s)) for s in ("train", "dev", "test")] == [14, 3, 4]
    for utterance in opened.train + opened.test:
        samples = opened.audio(utterance)
        assert len(samples) == round(utterance.duration * 16000)
        assert 0.01 < np.abs(samples).max() <= 1.0
        assert utterance.group("gender") in ("female", "male") and utterance.group("accent")
        assert utterance.speaker.startswith(utterance.group("accent"))
        assert 0.03 < utterance.duration / len(utterance.text) < 0.25
    assert json.loads((corpus / "corpus.json").read_text())["source"] == "synthetic"


def test_sentences_and_voices_of_test_are_new_and_accents_are_not():
    sizes = {"train": 1500, "dev": 150, "test": 500}
    params = dummy_params(**{f"synthesis.{split}_utterances": size for split, size in sizes.items()})
    planned = plan(COMMANDS, params.synthesis, params.seed)
    assert {s: len(u) for s, u in planned.items()} == sizes
    sentences = {s: {u.text for u in us} for s, us in planned.items()}
    variants = {s: {u.voice.variant for u in us} for s, us in planned.items()}
    accents = {s: {u.voice.accent for u in us} for s, us in planned.items()}
    assert sum(map(len, sentences.values())) == 2150 == len(set().union(*sentences.values()))
    assert sum(map(len, variants.values())) == len(set().union(*variants.values()))
    assert accents["test"] == accents["train"] == accents["dev"]
    trained = {word for text in sentences["train"] for word in text.split()}
    heard = [word for text in sentences["test"] for word in text.split()]
    assert np.mean([word in trained for word in heard]) > 0.995
    per_speaker = np.unique([u.voice.speaker for u in planned["test"]], return_counts=True)[1]
    assert per_speaker.max() - per_speaker.min() <= 1


def test_a_larger_train_does_not_change_the_others():
    params = dummy_params(**SMALL)
    larger = dummy_params(**{**SMALL, "synthesis.train_utterances": 60})
    small_plan, large_plan = (plan(COMMANDS, p.synthesis, p.seed) for p in (params, larger))
    assert small_plan["test"] == large_plan["test"] and small_plan["dev"] == large_plan["dev"]
    assert small_plan["train"] == large_plan["train"][:14]


def test_splits_share_the_sentences_out():
    shares = np.unique([split_of(f"sentence {i}", 1) for i in range(5000)], return_counts=True)
    assert dict(zip(shares[0], shares[1] / 5000)) == pytest.approx({"dev": 0.1, "test": 0.2, "train": 0.7}, abs=0.02)


def write_folder(folder: Path, sentences: list[str], **voices) -> Path:
    folder.mkdir()
    (folder / "grammar.yaml").write_text(yaml.safe_dump({"sentences": sentences, "slots": {}}))
    raw = yaml.safe_load((COMMANDS / "voices.yaml").read_text())
    (folder / "voices.yaml").write_text(yaml.safe_dump({**raw, **voices}))
    return folder


def test_a_grammar_that_is_too_small_is_an_error(tmp_path):
    folder = write_folder(tmp_path / "tiny", [f"say {word}" for word in ("one", "two", "three")])
    params = dummy_params(**{**SMALL, "data.path": str(folder)})
    with pytest.raises(UserError, match=r"no new one was found.*ask for fewer than train_utterances: 14"):
        plan(folder, params.synthesis, 0)


def test_everything_wrong_with_the_voices_is_told(tmp_path):
    voice = {"accents_each": 1, "variants": {"female": ["f1"], "male": []}}
    folder = write_folder(
        tmp_path / "bad",
        ["a"],
        accents={"american": "en-us", "martian": "xx-mars"},
        splits={
            "train": voice,
            "dev": {"accents_each": 9, "variants": {"female": ["f1"], "male": ["nobody"]}},
            "test": {"accents_each": 1, "variants": {"female": [], "male": []}},
        },
    )
    with pytest.raises(UserError) as error:
        load_voices(folder / "voices.yaml", 0, (40, 60))
    for part in (
        "no voice 'xx-mars'",
        "'f1' is in train already",
        "no variant 'nobody'",
        "expected 1 to 2, found 9",
        "no variant at all",
    ):
        assert part in str(error.value)
    assert "5 problem(s)" in str(error.value)


def slope_of(noise):
    power = np.abs(np.fft.rfft(noise)) ** 2
    hertz = np.fft.rfftfreq(len(noise), 1 / 16000)
    bands = [(200, 400), (3200, 6400)]
    low, high = (10 * np.log10(power[(hertz > a) & (hertz < b)].mean()) for a, b in bands)
    return (high - low) / 4  # dB per octave


@pytest.mark.parametrize(("color", "slope"), [("white", 0), ("pink", -3), ("brown", -6)])
def test_noise_has_its_color_and_unit_power(color, slope):
    noise = colored_noise(np.random.default_rng(0), color, 50_000, 16000)
    assert len(noise) == 50_000 and np.mean(noise**2) == pytest.approx(1, rel=1e-3)
    assert slope_of(noise) == pytest.approx(slope, abs=0.4)


def test_mixing_keeps_the_ratio_and_never_clips():
    rng = np.random.default_rng(0)
    speech = rng.standard_normal(20_000)
    noise = colored_noise(rng, "white", 20_000, 16000)
    mixed, clean = mix(speech, noise, 10.0, -6.0), mix(speech, None, 10.0, -6.0)
    assert 20 * np.log10(np.std(clean)) == pytest.approx(-29, abs=0.1)
    assert 20 * np.log10(np.std(clean) / np.std(mixed - clean)) == pytest.approx(10, abs=0.1)
    assert np.abs(mix(speech, noise, 0.0, 30.0)).max() == pytest.approx(0.99, abs=1e-6)


def test_babble_is_made_of_the_voices():
    rng = np.random.default_rng(0)
    voices = [np.sin(np.arange(3000) * step) for step in (0.1, 0.2, 0.3, 0.4)]
    spectrum = np.abs(np.fft.rfft(babble(rng, voices, 8192)))
    peaks = {round(2 * np.pi * k / 8192, 1) for k in np.argsort(spectrum)[-8:]}
    assert peaks == {0.1, 0.2, 0.3, 0.4}


def test_unlabelled_sentences_are_new_ones_in_the_voices_of_train(corpus, tmp_path):
    more = PreparedCorpus.open(prepared(tmp_path / "more", 2, **{"synthesis.unlabelled_utterances": 5}))
    plain = PreparedCorpus.open(corpus)
    for split in ("train", "dev", "test"):
        assert more.summary["files"][f"{split}.jsonl"] == plain.summary["files"][f"{split}.jsonl"]
        assert more.summary["files"][f"audio/{split}-000.wav"] == plain.summary["files"][f"audio/{split}-000.wav"]
    assert len(more.unlabelled) == 5 and all(u.text is None for u in more.unlabelled)
    params = dummy_params(**{**SMALL, "synthesis.unlabelled_utterances": 5})
    planned = plan(COMMANDS, params.synthesis, params.seed)
    said = {split: {u.text for u in utterances} for split, utterances in planned.items()}
    assert all(not said["unlabelled"] & said[split] for split in ("train", "dev", "test"))
    assert {split_of(text, params.seed) for text in said["unlabelled"]} == {"train"}
    voices = {split: {u.voice.speaker for u in utterances} for split, utterances in planned.items()}
    assert not voices["unlabelled"] & (voices["dev"] | voices["test"])
