"""``python -m benchmarks.english_corpus ../shared/speech``: the manifests of read English for ``params/english.yaml``.

From two folders of recordings with manifests: ``librispeech_mini`` (one long utterance of each of 250 speakers) and
``speechocean762`` (250 Mandarin speakers, half of them children). Train has 150 speakers of the first and the train
split of the second, dev and test 50 further speakers each of the first, and test the second's test split as well. The
key ``corpus`` tells them apart. Audio stays where it is.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
from pathlib import Path
from typing import Any

from diminuendo.core.errors import UserError
from diminuendo.core.files import write_text

OUT = Path("corpora/english")
READ, LEARNERS = "librispeech_mini", "speechocean762"
SPEAKERS = {"train": 150, "dev": 50, "test": 50}  # of the first


def main() -> None:
    parser = argparse.ArgumentParser(prog="benchmarks.english_corpus", description=__doc__)
    parser.add_argument("speech", type=Path, help=f"folder of {READ} and {LEARNERS}")
    parser.add_argument("--learners", type=int, help=f"utterances of {LEARNERS} in test  [default: all]")
    parser.add_argument("--out", type=Path, default=OUT, help="where the manifests go")
    arguments = parser.parse_args()
    splits = splits_of(arguments.speech, arguments.out, arguments.learners)
    arguments.out.mkdir(parents=True, exist_ok=True)
    for split, lines in splits.items():
        text = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
        write_text(arguments.out / f"{split}.jsonl", text)
        print(f"{split}: {len(lines)} utterances, {sum(line['duration'] for line in lines) / 60:.1f} minutes")


def splits_of(speech: Path, out: Path, learners: int | None = None) -> dict[str, list[dict[str, Any]]]:
    """The lines of train, dev and test; paths of audio are relative to ``out``.

    Args:
        learners: how many utterances of the second corpus are in test; None: all.
    """
    read = _lines(speech, READ, "train", out)
    # By a digest of the name: numbers of LibriSpeech's readers are not independent of when they joined.
    order = sorted({line["speaker"] for line in read}, key=lambda name: hashlib.sha256(name.encode()).hexdigest())
    splits: dict[str, list[dict[str, Any]]] = {}
    for split, count in SPEAKERS.items():
        speakers, order = set(order[:count]), order[count:]
        splits[split] = [line for line in read if line["speaker"] in speakers]
    for split, most in (("train", None), ("test", learners)):
        lines = _lines(speech, LEARNERS, split, out)
        kept = {line["id"] for line in sorted(lines, key=_draw)[:most]}
        splits[split] += [line for line in lines if line["id"] in kept]
    return splits


def _draw(line: dict[str, Any]) -> str:
    return hashlib.sha256(line["id"].encode()).hexdigest()


def _lines(speech: Path, corpus: str, split: str, out: Path) -> list[dict[str, Any]]:
    manifest = speech / corpus / f"{split}.jsonl"
    try:
        content = manifest.read_text(encoding="utf-8")
    except OSError as error:
        raise UserError(
            f"{manifest}: cannot be read ({error.strerror}); give the folder of {READ} and {LEARNERS}"
        ) from None
    return [_renamed(json.loads(line), corpus, manifest.parent, out) for line in content.splitlines()]


def _renamed(line: dict[str, Any], corpus: str, folder: Path, out: Path) -> dict[str, Any]:
    audio = os.path.relpath(folder / line["audio_filepath"], out)
    names = {key: f"{corpus}-{line[key]}" for key in ("id", "speaker")}
    return {**line, "audio_filepath": audio, **names, "corpus": corpus}


if __name__ == "__main__":
    main()
