"""Word error rates of a shipped file in few bits, rounded plainly and with error feedback.

    python -m benchmarks.error_feedback models/teacher/model.onnx --corpus data/prepared --work WORK

Every file has packed weights: of the same bytes with feedback and without. ``WORK`` keeps what was measured of the
inputs, and a second call goes on from it. Word error rates are of the test split, greedy, from the files, after the
normaliser; differences are those from the float32 file, with an interval over utterances (95 %, paired bootstrap).
"""

from __future__ import annotations

import argparse
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from diminuendo.artifact.onnx_file import MODEL, read_onnx, write_onnx
from diminuendo.compression.quantization.calibration import calibration_audio
from diminuendo.compression.quantization.error_feedback import with_feedback
from diminuendo.compression.quantization.storage import INT8_CHANNEL, Choice, Storage
from diminuendo.compression.quantization.weight_writer import by_itself, store_by_choice
from diminuendo.data.prepared import PreparedCorpus
from diminuendo.metrics.error_rates import count_errors
from diminuendo.metrics.normalizers import normalizer_of
from diminuendo.runtime.recognizer import Recognizer

EMBEDDING, SAMPLES = "decoder.embedding.weight", 2000
HEADER = "| groups | bits | bits of the embedding | rounding | bytes | WER | ΔWER | interval |\n"


def errors_of(path: Path, corpus: PreparedCorpus, normalise) -> tuple[np.ndarray, np.ndarray]:
    """Wrong words of every test utterance, and the words of its reference."""
    recognizer = Recognizer(path, threads=1)
    heard = [normalise(recognizer.hypothesis(corpus.audio(utterance)).text) for utterance in corpus.test]
    said = [normalise(utterance.text) for utterance in corpus.test]
    wrong = [counts.word_errors for counts in count_errors(said, heard)]
    return np.array(wrong), np.array([len(text.split()) for text in said])


def told(wrong: np.ndarray, of_parent: np.ndarray, words: np.ndarray) -> str:
    drawn = np.random.default_rng(0).integers(len(words), size=(SAMPLES, len(words)))
    more = (wrong - of_parent)[drawn].sum(axis=1) / words[drawn].sum(axis=1)
    low, high = np.quantile(more, (0.025, 0.975))
    rate, added = wrong.sum() / words.sum(), (wrong - of_parent).sum() / words.sum()
    return f"{rate:.2%} | {100 * added:+.2f} | [{100 * low:+.2f}, {100 * high:+.2f}] |"


def in_bits(bits: int, group_size: int, embedding: int) -> Choice:
    def storage(name: str, operator: str, shape: tuple[int, ...]) -> Storage:
        if operator == "Conv":
            return INT8_CHANNEL
        return Storage(embedding if name == EMBEDDING else bits, group_size, packed=True)

    return storage


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("--corpus", type=Path, required=True, help="a folder of `prepare`")
    parser.add_argument("--work", type=Path, required=True, help="a folder of one model and one calibration")
    parser.add_argument("--group-sizes", type=int, nargs="+", default=[32, 64, 128])
    parser.add_argument("--embedding", type=int, nargs="+", default=[4], choices=(4, 8), help="its bits")
    parser.add_argument("--rounding", nargs="+", default=["plain", "feedback"], choices=("plain", "feedback"))
    parser.add_argument("--calibration-utterances", type=int, default=64)
    parser.add_argument("--seed", type=int, default=0, help="that draws them; a member's is that of its params.yaml")
    parser.add_argument("--normalizer", default="english")
    args = parser.parse_args()
    corpus, normalise = PreparedCorpus.open(args.corpus), normalizer_of(args.normalizer) or str
    args.work.mkdir(parents=True, exist_ok=True)
    audio = calibration_audio(corpus, args.calibration_utterances, args.seed)
    rounding = {"plain": by_itself}
    if "feedback" in args.rounding:
        rounding["feedback"] = with_feedback(read_onnx(args.model), audio, args.work)
    of_parent, words = errors_of(args.model, corpus, normalise)
    print(f"{HEADER}|---:|---:|---:|---|---:|---:|---:|---:|")
    print(f"| | 32 | 32 | | {args.model.stat().st_size:,} | {told(of_parent, of_parent, words)}", flush=True)
    with TemporaryDirectory() as folder:
        path = Path(folder) / MODEL
        for group_size in args.group_sizes:
            for embedding in args.embedding:
                for how in args.rounding:
                    choice = in_bits(4, group_size, embedding)
                    write_onnx(path, store_by_choice(read_onnx(args.model), choice, True, rounding[how]))
                    wrong, _ = errors_of(path, corpus, normalise)
                    size = f"{path.stat().st_size:,}"
                    print(
                        f"| {group_size} | 4 | {embedding} | {how} | {size} | {told(wrong, of_parent, words)}",
                        flush=True,
                    )


if __name__ == "__main__":
    main()
