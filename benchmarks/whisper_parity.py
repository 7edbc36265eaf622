"""Whether a file writes what ``transformers`` writes: ``python -m benchmarks.whisper_parity MODEL CHECKPOINT CORPUS``.

Greedily, over the first utterances of test, on one thread: how many are the same token for token, and the time of both,
each utterance once by either in turn. MODEL is a teacher's ``model.onnx`` in float32, CHECKPOINT the folder in Hugging
Face's format that it was made of, CORPUS a prepared corpus. ``transformers`` comes with the extra ``dev``.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np

from diminuendo.cli.errors import plain_errors
from diminuendo.data.prepared import PreparedCorpus
from diminuendo.runtime.model import open_session


def main() -> None:
    parser = argparse.ArgumentParser(prog="benchmarks.whisper_parity", description=__doc__)
    parser.add_argument("model", type=Path)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("corpus", type=Path)
    parser.add_argument("--utterances", type=int, help="of test, evenly spread  [default: all]")
    options = parser.parse_args()
    with plain_errors(status=1):
        compare(options.model, options.checkpoint, PreparedCorpus.open(options.corpus), options.utterances)


def compare(model: Path, checkpoint: Path, corpus: PreparedCorpus, utterances: int | None) -> None:
    import torch
    from transformers import WhisperFeatureExtractor, WhisperForConditionalGeneration
    from transformers.utils import logging

    logging.set_verbosity_error()
    torch.set_num_threads(1)
    session = open_session(model, threads=1)
    theirs = WhisperForConditionalGeneration.from_pretrained(checkpoint, dtype=torch.float32).eval()
    extractor = WhisperFeatureExtractor(feature_size=theirs.config.num_mel_bins)
    step = max(1, len(corpus.test) // (utterances or len(corpus.test)))
    chosen = corpus.test[::step][:utterances]
    ends = {theirs.config.eos_token_id}
    same, taken, different = 0, np.zeros(2), []
    for utterance in chosen:
        audio = corpus.audio(utterance)
        begin = time.perf_counter()
        feeds = {"waveform": audio[None], "waveform_lengths": np.array([len(audio)])}
        tokens, lengths = session.run(["tokens", "lengths"], feeds)
        middle = time.perf_counter()
        features = extractor(audio, sampling_rate=corpus.sample_rate, return_tensors="pt").input_features
        asked = {"language": "en", "task": "transcribe"} if theirs.generation_config.is_multilingual else {}
        with torch.inference_mode():
            found = theirs.generate(features, num_beams=1, do_sample=False, return_timestamps=False, **asked)
        taken += [middle - begin, time.perf_counter() - middle]
        ours = tokens[0, : lengths[0]].tolist()
        expected = [token for token in found[0].tolist() if token < min(ends)]  # text alone: specials come after it
        if ours == expected:
            same += 1
        else:
            different.append(utterance.id)
    seconds = sum(utterance.duration for utterance in chosen)
    print(f"{same} of {len(chosen)} utterances ({seconds / 60:.1f} minutes) are the same, token for token")
    print(f"seconds an utterance: file {taken[0] / len(chosen):.2f}, transformers {taken[1] / len(chosen):.2f}")
    if different:
        print(f"different: {', '.join(different)}")


if __name__ == "__main__":
    main()
