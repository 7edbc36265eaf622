"""Whether a checkpoint says here what it says in ``transformers``: ``python -m benchmarks.checkpoint_parity FOLDER…``.

For each folder in Hugging Face's format, the largest difference of any log-probability between ``transformers``, which
hears every utterance alone, and this project, in float32: the PyTorch model and the file that would be shipped, each
with the utterances alone and in one padded batch. A checkpoint without a CTC head gets a random one, on its own states
and on those of ``transformers``. Whisper's encoder is compared with its positions computed, as here, and with those of
the folder, which were rounded to 16 bits where the weights were. It hears the first utterances of a prepared corpus
(``--corpus``), or noise. With ``--random`` the folders are written first, one for each type and form, with random
weights.

``transformers`` comes with the extra ``dev``. Nothing in a folder is executed.
"""

from __future__ import annotations

import argparse
import tempfile
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.random_checkpoint import FORMS, write_checkpoint
from diminuendo.cli.errors import plain_errors
from diminuendo.config.pretrained import PretrainedConfig
from diminuendo.data.padding import pad
from diminuendo.data.prepared import PreparedCorpus
from diminuendo.pretrained.checkpoint import Checkpoint
from diminuendo.pretrained.folder import PREPROCESSOR, CheckpointFolder

if TYPE_CHECKING:
    from diminuendo.models.model import SpeechModel

SECONDS = (1.7, 3.2, 0.6)  # of noise, where no corpus is given
STEP = 320  # samples: Whisper's encoder in transformers hears an even number of its frames
TOKENS = 32  # of a head that a checkpoint does not have
Oracle = Callable[[np.ndarray], np.ndarray]  # the log-probabilities [T, V] of one waveform


@dataclass(frozen=True)
class Parity:
    """Largest differences of a log-probability over all utterances; ``spread`` is the standard deviation of theirs."""

    torch: float
    torch_padded: float
    file: float
    file_padded: float
    spread: float


def main() -> None:
    parser = argparse.ArgumentParser(prog="benchmarks.checkpoint_parity", description=__doc__)
    parser.add_argument("folders", nargs="*", type=Path, metavar="FOLDER")
    parser.add_argument("--random", action="store_true", help="every type and form, with random weights")
    parser.add_argument("--corpus", type=Path, help="a prepared corpus")
    parser.add_argument("--utterances", type=int, default=8, help="of its test  [default: 8]")
    options = parser.parse_args()
    if not options.folders and not options.random:
        parser.error("give folders of checkpoints, or --random")
    quiet()
    with plain_errors(status=1), tempfile.TemporaryDirectory() as temporary:
        audio = noise() if options.corpus is None else recorded(PreparedCorpus.open(options.corpus), options.utterances)
        print("| checkpoint | PyTorch | PyTorch, padded | file | file, padded | spread of the log-probabilities |")
        print("| :--- | ---: | ---: | ---: | ---: | ---: |")
        folders = {folder.name: folder for folder in options.folders}
        if options.random:
            for kind, forms in FORMS.items():
                for form in forms:
                    folders[f"{kind}, {form}"] = Path(temporary, f"{kind}-{form}".replace(" ", "-"))
                    write_checkpoint(kind, folders[f"{kind}, {form}"], form=form, stirred=True)
        for name, folder in folders.items():
            show(name, compare(folder, audio))
            if folder in options.folders and CheckpointFolder(folder).config["model_type"] == "whisper":
                show(f"{name}, positions as stored", compare(folder, audio, stored_positions=True))


def show(name: str, found: Parity) -> None:
    """One row of the table."""
    figures = (found.torch, found.torch_padded, found.file, found.file_padded)
    print(f"| {name} | {' | '.join(f'{figure:.1e}' for figure in figures)} | {found.spread:.2f} |", flush=True)


def noise(rate: int = 16000) -> list[np.ndarray]:
    """Noise whose loudness and colour change from a tenth of a second to the next."""
    rng, audio = np.random.default_rng(0), []
    for seconds in SECONDS:
        samples, part = round(seconds * rate), rate // 10
        sound = rng.standard_normal(samples)
        loudness, colour = (
            np.repeat(rng.uniform(low, high, samples // part + 1), part)[:samples]
            for low, high in ((0.01, 0.3), (-0.9, 0.9))
        )
        audio.append((loudness * (sound + colour * np.roll(sound, 1))).astype(np.float32))
    return audio


def recorded(corpus: PreparedCorpus, utterances: int) -> list[np.ndarray]:
    """The first utterances of test."""
    return [corpus.audio(utterance) for utterance in corpus.test[:utterances]]


def compare(folder: Path, audio: Sequence[np.ndarray], stored_positions: bool = False) -> Parity:
    """Hear everything with both.

    Args:
        folder: a checkpoint in Hugging Face's format.
        audio: waveforms ``[samples]`` at the checkpoint's sample rate.
        stored_positions: ``transformers`` adds the positions that are in Whisper's folder, not computed ones.
    Raises:
        UserError: the checkpoint cannot be loaded.
    """
    import torch

    checkpoint = Checkpoint(PretrainedConfig(path=str(folder)))
    torch.manual_seed(0)
    if checkpoint.has_ctc_head:
        vocabulary = checkpoint.vocabulary(lowercase=True)
        model, tokens = checkpoint.model(len(vocabulary.tokens), vocabulary.order), vocabulary.tokens
        oracle = with_its_head(folder, vocabulary.order)
    else:
        model, tokens = checkpoint.model(TOKENS, None), ("", " ", *map(chr, range(0x61, 0x61 + TOKENS - 2)))
        torch.nn.init.normal_(model.out.weight, std=2 * model.out.in_features**-0.5)
        oracle = with_our_head(folder, model, stored_positions)
    audio = [waveform[: len(waveform) // STEP * STEP] for waveform in audio]
    expected = [oracle(waveform) for waveform in audio]
    heard = (said_by_model(model), said_by_file(model, tokens))
    alone, together = [], []
    for say in heard:
        apart = [say([waveform])[0] for waveform in audio]
        alone.append(max(largest(one, other) for one, other in zip(apart, expected)))
        together.append(max(largest(one, other) for one, other in zip(say(audio), expected)))
    return Parity(alone[0], together[0], alone[1], together[1], float(np.concatenate(expected).std()))


def largest(found: np.ndarray, expected: np.ndarray) -> float:
    """The largest difference of ``[T, V]`` from ``[T, V]``; lengths that differ are an infinite one."""
    return float(np.abs(found - expected).max()) if found.shape == expected.shape else float("inf")


def with_its_head(folder: Path, order: Sequence[int]) -> Oracle:
    """``transformers``' own model for CTC, its tokens in our order."""
    import torch
    from transformers import AutoModelForCTC

    model = AutoModelForCTC.from_pretrained(folder, dtype=torch.float32, use_safetensors=True).eval()
    extractor = extractor_of(folder, model.config)

    @torch.inference_mode()
    def say(waveform: np.ndarray) -> np.ndarray:
        inputs = extractor(waveform, sampling_rate=extractor.sampling_rate, return_tensors="pt")
        logits = model(**inputs).logits[0]
        if model.config.model_type == "parakeet_ctc":  # whose features end with a frame that its mask leaves out
            logits = logits[: model.encoder._get_subsampling_output_length(inputs.attention_mask.sum())]
        return logits.log_softmax(-1)[:, list(order)].numpy()

    return say


def with_our_head(folder: Path, model: SpeechModel, stored_positions: bool) -> Oracle:
    """``transformers``' encoder, and the head of ``model``."""
    import torch
    from transformers import AutoModel

    from diminuendo.models.whisper.module import sinusoids

    theirs = AutoModel.from_pretrained(folder, dtype=torch.float32, use_safetensors=True).eval()
    extractor = extractor_of(folder, theirs.config)
    if theirs.config.model_type == "whisper":
        encoder = theirs.encoder
        positions = encoder.embed_positions.weight
        if not stored_positions:
            positions = sinusoids(*positions.shape)

    def states(waveform: np.ndarray) -> torch.Tensor:
        if theirs.config.model_type != "whisper":
            inputs = extractor(waveform, sampling_rate=extractor.sampling_rate, return_tensors="pt")
            return theirs(**inputs).last_hidden_state
        # Padded with zeros to 30 s, as Whisper hears; then no more frames than the utterance has.
        features = extractor(waveform, sampling_rate=extractor.sampling_rate, return_tensors="pt").input_features
        features = features[..., : len(waveform) // extractor.hop_length]
        encoder.config.max_source_positions = features.shape[-1] // 2
        encoder.embed_positions = torch.nn.Embedding.from_pretrained(positions[: features.shape[-1] // 2])
        return encoder(features).last_hidden_state

    @torch.inference_mode()
    def say(waveform: np.ndarray) -> np.ndarray:
        return model.out(states(waveform)[0]).log_softmax(-1).numpy()

    return say


def extractor_of(folder: Path, config: Any) -> Any:
    """What ``transformers`` hears the folder's model with; Whisper's is the same for all, and some folders lack it."""
    from transformers import AutoFeatureExtractor, WhisperFeatureExtractor

    if config.model_type == "whisper" and not (folder / PREPROCESSOR).is_file():
        return WhisperFeatureExtractor(feature_size=config.num_mel_bins)
    return AutoFeatureExtractor.from_pretrained(folder)


def said_by_model(model: SpeechModel) -> Callable[[Sequence[np.ndarray]], list[np.ndarray]]:
    """The PyTorch model, with a batch of waveforms."""
    import torch

    @torch.inference_mode()
    def say(audio: Sequence[np.ndarray]) -> list[np.ndarray]:
        batch, lengths = pad(audio)
        found, frames = model.eval()(torch.from_numpy(batch), torch.from_numpy(lengths))
        return [row[:count].numpy() for row, count in zip(found, frames.tolist())]

    return say


def said_by_file(model: SpeechModel, tokens: Sequence[str]) -> Callable[[Sequence[np.ndarray]], list[np.ndarray]]:
    """The file that would be shipped, in ONNX Runtime."""
    import onnxruntime

    from diminuendo.export.write import export_model

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "model.onnx")
        export_model(path, model, name="teacher", tokens=list(tokens), lineage={})
        session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])

    def say(audio: Sequence[np.ndarray]) -> list[np.ndarray]:
        batch, lengths = pad(audio)
        found, frames = session.run(None, {"waveform": batch, "waveform_lengths": lengths})
        return [row[:count] for row, count in zip(found, frames.tolist())]

    return say


def quiet() -> None:
    """No bars of progress and no advice of ``transformers``, which the table would stand between."""
    from transformers.utils import logging

    logging.set_verbosity_error()
    logging.disable_progress_bar()


if __name__ == "__main__":
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of masks of two kinds, which transformers gives to PyTorch
        main()
