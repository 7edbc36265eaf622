"""A bundle of ``torchaudio.pipelines`` as a folder in Hugging Face's format.

torchaudio fetches the weights and loads them as tensors alone (``weights_only``). They are kept as safetensors under
the names that the family's door reads, so that a bundle is hashed, checked and loaded like any other checkpoint.
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from diminuendo.core.errors import UserError
from diminuendo.core.files import fresh_folder, write_json
from diminuendo.models.families import FAMILIES
from diminuendo.pretrained.folder import CONFIG, PREPROCESSOR, WEIGHTS, NotAtHand

if TYPE_CHECKING:
    from torchaudio.models import Wav2Vec2Model


def folder_of_bundle(name: str, root: Path, fetch: bool = True) -> Path:
    """The folder of a bundle, made once below ``root``.

    Raises:
        UserError: there is no such bundle, or it is not on this machine and cannot be fetched.
    """
    folder = root / name
    if (folder / CONFIG).is_file():
        return folder
    from torchaudio import pipelines

    bundle = getattr(pipelines, name, None)
    if isinstance(bundle, pipelines.Wav2Vec2FABundle):
        raise UserError(
            f"pretrained.bundle: {name} aligns texts with audio, and knows no space between words; take a recogniser, "
            "such as WAV2VEC2_ASR_BASE_960H"
        )
    if not isinstance(bundle, pipelines.Wav2Vec2Bundle):
        kinds = {key: getattr(pipelines, key) for key in dir(pipelines)}
        known = [
            key
            for key, kind in kinds.items()
            if isinstance(kind, pipelines.Wav2Vec2Bundle) and not isinstance(kind, pipelines.Wav2Vec2FABundle)
        ]
        raise UserError(f"pretrained.bundle: torchaudio.pipelines has no {name!r}; there are: {', '.join(known)}")
    if not fetch:
        raise NotAtHand(f"pretrained.bundle: {name} is not on this machine; run `make repro` where there is a network")
    try:
        model = bundle.get_model()
    except (OSError, RuntimeError) as error:
        reason = str(error).splitlines()[0][:200]
        raise UserError(
            f"pretrained.bundle: {name} cannot be fetched ({reason}); run where there is a network, or bring {folder} "
            "here from a machine that has made it"
        ) from None
    labels = list(bundle.get_labels()) if isinstance(bundle, pipelines.Wav2Vec2ASRBundle) else None
    write_bundle(folder, model, bundle.sample_rate, normalised=bool(bundle._normalize_waveform), labels=labels)
    return folder


def write_bundle(
    folder: Path, model: Wav2Vec2Model, sample_rate: int, *, normalised: bool, labels: list[str] | None
) -> None:
    """Write a torchaudio model as a checkpoint's folder, whole or not at all.

    Args:
        normalised: waveforms are brought to zero mean and unit variance first.
        labels: text of every output, the blank first and ``|`` between words; None: the model has no CTC head.
    """
    from safetensors.torch import save_file

    config, tensors = import_module(f"{FAMILIES['wav2vec2']}.torchaudio_weights").checkpoint_of(model)
    described: dict[str, Any] = {**config, "vocab_size": len(labels), "pad_token_id": 0} if labels else config
    with fresh_folder(folder) as new:
        write_json(new / CONFIG, described)
        write_json(new / PREPROCESSOR, {"do_normalize": normalised, "sampling_rate": sample_rate})
        if labels:
            write_json(new / "vocab.json", {label: index for index, label in enumerate(labels)})
            write_json(new / "tokenizer_config.json", {"pad_token": labels[0], "word_delimiter_token": "|"})
        save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, new / WEIGHTS)
