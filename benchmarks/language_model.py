"""What a language model of the training transcripts gives: greedy decoding against the lexicon alone and against both.

``python -m benchmarks.language_model MODEL…`` trains a word n-gram on train of ``data/prepared``, chooses
``lm_weight`` and ``word_score`` of each model by the word errors on dev, and prints word error rates on test with 95 %
bootstrap intervals, the paired difference to greedy decoding, and the real-time factor (waveform to words, one thread,
all ways of decoding taking turns).
"""

from __future__ import annotations

import argparse
import itertools
import tempfile
import time
from pathlib import Path

import numpy as np

from diminuendo.cli.errors import plain_errors
from diminuendo.data.prepared import PreparedCorpus, Utterance
from diminuendo.decoding import BeamSearch, train_language_model
from diminuendo.evaluation.scoring import Bootstrap, count_errors, rate
from diminuendo.family import current
from diminuendo.runtime.ctc import decode_text
from diminuendo.runtime.model import AcousticModel, best_path
from diminuendo.runtime.windows import Decode

LM_WEIGHTS, WORD_SCORES = (0.5, 1.0, 1.5, 2.0, 3.0), (-1.0, 0.0, 1.0, 2.0)
RESAMPLINGS, CONFIDENCE, SEED = 1000, 0.95, 0


def counts(utterances: list[Utterance], hypotheses: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """Word errors and reference words int [U] of each utterance."""
    found = count_errors([utterance.text for utterance in utterances], hypotheses)
    return np.array([c.word_errors for c in found]), np.array([c.words for c in found])


def tune(model: AcousticModel, corpus: PreparedCorpus, language_model: Path, beam: float) -> BeamSearch:
    """The weights of the grid with the fewest word errors on dev; among equals the smaller ones."""
    log_probs = [model.log_probs_of(corpus.audio(utterance)) for utterance in corpus.dev]
    best: tuple[int, BeamSearch] | None = None
    for weight, score in itertools.product(LM_WEIGHTS, WORD_SCORES):
        search = BeamSearch(language_model, lm_weight=weight, word_score=score, beam=beam)
        decode = search.open(model.tokens)
        errors, _ = counts(corpus.dev, [decode_text(decode(each)[0], model.tokens) for each in log_probs])
        if best is None or errors.sum() < best[0]:
            best = (int(errors.sum()), search)
    return best[1]


def compare(model: AcousticModel, corpus: PreparedCorpus, ways: dict[str, Decode]) -> None:
    """Print a row for each way of decoding."""
    texts: dict[str, list[str]] = {name: [] for name in ways}
    taken = dict.fromkeys(ways, 0.0)
    rng = np.random.default_rng(SEED)
    for utterance in corpus.test:
        waveform = corpus.audio(utterance)
        for name in rng.permutation(list(ways)):
            begin = time.perf_counter()
            texts[name].append(decode_text(ways[name](model.log_probs_of(waveform))[0], model.tokens))
            taken[name] += time.perf_counter() - begin
    seconds = sum(utterance.duration for utterance in corpus.test)
    bootstrap = Bootstrap(len(corpus.test), RESAMPLINGS, CONFIDENCE, SEED)
    greedy = None
    for name in ways:
        errors, words = counts(corpus.test, texts[name])
        rates = bootstrap.rates(errors, words)
        greedy = rates if greedy is None else greedy
        cells = []
        for values in (rates, rates - greedy):
            limits = bootstrap.interval(values)
            cells.append(f"[{100 * limits.low:+.2f}, {100 * limits.high:+.2f}]")
        print(f"  {name:<44}{100 * rate(errors, words):6.2f} {cells[0]:>18} {cells[1]:>18}{taken[name] / seconds:9.4f}")


def main() -> None:
    parser = argparse.ArgumentParser(prog="benchmarks.language_model", description=__doc__.splitlines()[0])
    parser.add_argument("models", nargs="+", type=Path)
    parser.add_argument("--corpus", type=Path, default=current().corpus)
    parser.add_argument("--order", type=int, default=3)
    parser.add_argument("--beam", type=float, default=BeamSearch.beam)
    given = parser.parse_args()
    with plain_errors(), tempfile.TemporaryDirectory() as folder:
        corpus = PreparedCorpus.open(given.corpus)
        language_model = Path(folder) / "train.arpa"
        train_language_model([utterance.text for utterance in corpus.train], given.order, language_model)
        print(f"{'WER %':>52} {'95 %':>18} {'minus greedy':>18}{'RTF':>9}")
        for path in given.models:
            model = AcousticModel(path, threads=1)
            tuned = tune(model, corpus, language_model, given.beam)
            name = f"lm_weight {tuned.lm_weight:g}, word_score {tuned.word_score:g}"
            lexicon = BeamSearch(language_model, lm_weight=0.0, beam=given.beam)
            print(path.parent.name)
            ways = {"greedy": best_path, "words of the language model only": lexicon.open(model.tokens)}
            compare(model, corpus, ways | {name: tuned.open(model.tokens)})


if __name__ == "__main__":
    main()
