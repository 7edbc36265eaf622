"""A checkpoint's folder in Hugging Face's format, read without running anything that is in it.

Read are JSON files and safetensors. Pickles (``.bin``, ``.pt``, ``.ckpt``, and what ``.nemo`` archives hold) are
refused: loading one can run any code.
"""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from diminuendo.core.errors import UserError

if TYPE_CHECKING:
    from torch import Tensor

CONFIG, PREPROCESSOR, PROCESSOR = "config.json", "preprocessor_config.json", "processor_config.json"
WEIGHTS, WEIGHTS_INDEX = "model.safetensors", "model.safetensors.index.json"
TOKENIZERS = ("vocab.json", "tokenizer.json", "tokenizer.model")
# What can change the model, and what says under which terms it may be used.
READ = (
    CONFIG,
    PREPROCESSOR,
    PROCESSOR,
    WEIGHTS,
    WEIGHTS_INDEX,
    *TOKENIZERS,
    "merges.txt",
    "generation_config.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
)
CARD = "README.md"
TERMS = (CARD, "LICENSE", "LICENSE.txt", "LICENSE.md")
PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".nemo", ".pkl")
MOST_JSON_BYTES = 64 << 20
FLOATS = ("F16", "BF16", "F32", "F64", "F8_E4M3", "F8_E5M2")  # types of safetensors that PyTorch converts
INTEGERS = ("BOOL", "U8", "I8", "U16", "I16", "U32", "I32", "U64", "I64", "C64")  # which the families refuse
_SHARD = re.compile(r"[\w.-]+\.safetensors")  # a name without a folder

_CONVERT = {
    ".nemo": "convert it where you trust it: transformers/models/parakeet/convert_nemo_to_hf.py writes such a folder",
    ".ckpt": "load it in the program that wrote it and call model.save_pretrained(FOLDER)",
}
CONVERT_OTHERS = (
    "convert it where you trust it: in transformers the model's class (such as AutoModelForCTC, or "
    "WhisperForConditionalGeneration) and AutoProcessor, each .from_pretrained(…).save_pretrained(FOLDER)"
)


class NotAtHand(UserError):
    """A checkpoint is not on this machine, and could be fetched."""


class CheckpointFolder:
    """A folder that was looked at; weights are read when they are asked for.

    Raises:
        UserError: it is no such folder, or holds its weights in a format that is not read.
    """

    def __init__(self, path: str | Path):
        self.path = Path(path)
        if not os.path.isdir(self.path):  # unlike pathlib's, it does not fail for a path that is too long
            if self.path.suffix in PICKLES:
                raise UserError(f"{self.path}: {self._refusal(self.path)}")
            found = "a file" if os.path.exists(self.path) else "nothing there"
            raise UserError(
                f"{self.path}: {found}; pretrained.path names a folder with {CONFIG} and {WEIGHTS}, as "
                "save_pretrained writes it"
            )
        if not (self.path / CONFIG).is_file():
            raise UserError(
                f"{self.path / CONFIG}: missing; it says what the model is, so the folder cannot be read without it"
            )
        self.weight_files = self._weight_files()

    @staticmethod
    def _refusal(path: Path) -> str:
        way = _CONVERT.get(path.suffix, CONVERT_OTHERS)
        return f"pickles are not read, since loading one can run any code; {way}"

    def _weight_files(self) -> tuple[str, ...]:
        if (self.path / WEIGHTS).is_file():
            return (WEIGHTS,)
        if (self.path / WEIGHTS_INDEX).is_file():
            shards = self.json_of(WEIGHTS_INDEX).get("weight_map")
            named = list(shards.values()) if isinstance(shards, dict) else []
            if not named or not all(isinstance(name, str) and _SHARD.fullmatch(name) for name in named):
                raise UserError(
                    f"{self.path / WEIGHTS_INDEX}: its weight_map names no safetensors files of this folder; download "
                    "it again"
                )
            names = sorted(set(named))
            if missing := [name for name in names if not (self.path / name).is_file()]:
                raise UserError(
                    f"{self.path}: {', '.join(missing)}: missing, though {WEIGHTS_INDEX} names them; download them"
                )
            return tuple(names)
        pickles = sorted(file.name for file in self.path.iterdir() if file.suffix in PICKLES)
        if pickles:
            raise UserError(f"{self.path / pickles[0]}: {self._refusal(Path(pickles[0]))}")
        raise UserError(f"{self.path / WEIGHTS}: missing, and no {WEIGHTS_INDEX} is there; the folder has no weights")

    def json_of(self, name: str) -> dict[str, Any]:
        """The content of a JSON file; an empty mapping where it is not there.

        Raises:
            UserError: it cannot be read, or is no mapping.
        """
        path = self.path / name
        if not path.is_file():
            return {}
        content = self.bytes_of(name)
        try:
            found = json.loads(content.decode("utf-8"))
        except (ValueError, RecursionError) as error:
            raise UserError(f"{path}: not JSON ({error}); download it again") from None
        if not isinstance(found, dict):
            raise UserError(f"{path}: expected a mapping of names to values, found {found!r:.60}")
        return found

    def bytes_of(self, name: str) -> bytes:
        """The content of a file that is not of weights; raises ``UserError`` if it is too long to be one."""
        path = self.path / name
        if path.stat().st_size > MOST_JSON_BYTES:
            raise UserError(f"{path}: {path.stat().st_size} bytes, more than any file of its kind; download it again")
        try:
            return path.read_bytes()
        except OSError as error:
            raise UserError(f"{path}: cannot be read ({error.strerror}); download it again") from None

    @cached_property
    def config(self) -> dict[str, Any]:
        """``config.json``; one that names code to be run is refused."""
        found = self.json_of(CONFIG)
        if "auto_map" in found:
            raise UserError(
                f"{self.path / CONFIG}: its auto_map names Python code that belongs to the model, which is never run "
                "here; take a checkpoint of a type that is built in, or remove auto_map if model_type is one of those"
            )
        if not isinstance(found.get("model_type"), str):
            raise UserError(f"{self.path / CONFIG}: has no model_type, so it does not say what the model is")
        classes = found.get("architectures") or []
        if not isinstance(classes, list) or not all(isinstance(name, str) for name in classes):
            raise UserError(f"{self.path / CONFIG}: architectures: expected a list of names, found {classes!r:.60}")
        return found

    @cached_property
    def preprocessor(self) -> dict[str, Any]:
        """What the feature extractor is told; empty where the folder does not say."""
        return self._preprocessor[1]

    @property
    def preprocessor_file(self) -> str:
        """Name of the file that says it."""
        return self._preprocessor[0]

    @cached_property
    def _preprocessor(self) -> tuple[str, dict[str, Any]]:
        """What the processor's file says goes first: an older file may lie beside it."""
        processor = self.json_of(PROCESSOR)
        for key in ("feature_extractor", "audio_processor"):
            if found := processor.get(key):
                if not isinstance(found, dict):
                    raise UserError(f"{self.path / PROCESSOR}: {key}: expected a mapping, found {found!r:.60}")
                return PROCESSOR, found
        return PREPROCESSOR, self.json_of(PREPROCESSOR)

    @property
    def tensors(self) -> Mapping[str, Tensor]:
        """The weights by name, each read when it is looked up."""
        return _Tensors(self.path, self.weight_files)

    @property
    def outlines(self) -> Mapping[str, Tensor]:
        """Tensors of PyTorch's device "meta", as the weights are but without their values: of the headers alone."""
        return _Outlines(self.path, self.weight_files)

    @property
    def sizes(self) -> dict[str, int]:
        """Name to number of values of every tensor, from the headers of the files."""
        shapes = _Tensors(self.path, self.weight_files, framework="np").shapes()  # without waiting for torch
        return {name: math.prod(shape) for name, shape in shapes.items()}

    @property
    def files(self) -> tuple[str, ...]:
        """Names of all files that a model is made from, and of those that say its licence."""
        names = [name for name in (*READ, *TERMS) if (self.path / name).is_file()]
        return tuple(sorted({*names, *self.weight_files}))

    @cached_property
    def licence(self) -> str | None:
        """As the front matter of ``README.md`` says it; a licence file alone is named, not read."""
        import yaml

        said, there = None, [name for name in TERMS if (self.path / name).is_file()]  # reading a pipe would not end
        try:
            text = self.bytes_of(CARD).decode("utf-8") if CARD in there else ""
            front = re.match(r"---\n(.*?)\n---", text, re.DOTALL)
            said = yaml.safe_load(front.group(1)).get("license") if front else None
        except (UserError, ValueError, AttributeError, RecursionError, yaml.YAMLError):
            pass
        if isinstance(said, str):
            return " ".join(said.split())
        return next((f"see {name}" for name in there if name != CARD), None)


class _Tensors(Mapping):
    def __init__(self, folder: Path, names: tuple[str, ...], framework: str = "pt"):
        from safetensors import SafetensorError, safe_open

        self._open = {}
        for name in names:
            try:
                file = safe_open(folder / name, framework=framework)
            except (SafetensorError, OSError) as error:
                raise UserError(f"{folder / name}: not a whole safetensors file ({error}); download it again") from None
            self._open |= {key: file for key in file.keys()}  # noqa: SIM118, it is no mapping

    def shapes(self) -> dict[str, list[int]]:
        return {name: file.get_slice(name).get_shape() for name, file in self._open.items()}

    def __getitem__(self, name: str) -> Tensor:
        if (dtype := self._open[name].get_slice(name).get_dtype()) not in FLOATS + INTEGERS:
            raise UserError(f"the checkpoint's tensor {name} is of the type {dtype}, which is not read")
        return self._open[name].get_tensor(name)

    def __iter__(self) -> Iterator[str]:
        return iter(self._open)

    def __len__(self) -> int:
        return len(self._open)


class _Outlines(_Tensors):
    def __getitem__(self, name: str) -> Tensor:
        import torch

        part = self._open[name].get_slice(name)
        # Of other types it is enough to know that they are no floating-point numbers.
        dtype = torch.float32 if part.get_dtype() in FLOATS else torch.int8
        return torch.empty(part.get_shape(), dtype=dtype, device="meta")
