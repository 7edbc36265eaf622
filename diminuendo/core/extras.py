"""What a light installation lacks: which extra of ``pyproject.toml`` brings a library that is not there.

`pip install .` brings what runs a shipped file and tells where it came from. The rest is in extras, and is imported
where it is used.
"""

from __future__ import annotations

from importlib.util import find_spec

# Extra to the top modules of what it installs.
EXTRAS = {
    "train": (
        "torch",
        "torchaudio",
        "onnx",
        "jiwer",
        "sentencepiece",
        "safetensors",
        "espeakng_loader",
        "matplotlib",
        "psutil",
        "tqdm",
        "tokenizers",
        "huggingface_hub",
        "threadpoolctl",
        "whisper_normalizer",
    ),
    "pipeline": ("mlflow", "prefect", "fastapi", "sqlalchemy", "dvc"),
    "decoding": ("kaldi_decoder", "kaldifst", "kaldilm", "kaldingram"),
    "bom": ("cyclonedx",),
    "audio": ("av",),
}


def extra_with(module: str | None) -> str | None:
    """The extra that brings a module, such as ``train`` for ``torch.nn``; None if it is no library of an extra."""
    top = (module or "").partition(".")[0]
    return next((extra for extra, modules in EXTRAS.items() if top in modules), None)


def how_to_install(extra: str) -> str:
    """The end of a sentence that says what is not installed."""
    return f"run: pip install '.[{extra}]' in the project's folder"


def is_installed(module: str) -> bool:
    """Whether a module can be imported; it is not."""
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:
        return False
