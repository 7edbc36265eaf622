"""Which column of a source says what, by the names that data sets use, or by --column."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from diminuendo.core.errors import UserError
from diminuendo.importing.utterance import Request

# Of several that are there the first counts. Names are compared in lower case, with "_" for spaces and hyphens.
KNOWN: dict[str, tuple[str, ...]] = {
    "audio": (
        "audio_filepath", "audio", "audio_path", "audio_file", "path", "file_name", "filename", "file", "filepath",
        "file_path", "wav_filename", "wav_filepath", "wav_path", "wav", "clip", "recording", "speech", "sound",
        "音频", "音频路径", "音频文件", "音频文件名", "音訊", "录音", "录音文件", "語音", "语音", "语音文件",
        "文件路径", "文件名", "路径", "路徑", "文件", "檔案",
    ),
    "text": (
        "text", "sentence", "transcript", "transcription", "transcripts", "normalized_text", "normalised_text",
        "raw_transcription", "raw_text", "orthographic", "words", "utterance", "label", "target",
        "文本", "文本内容", "转写", "转写文本", "轉寫", "转录", "转录文本", "句子", "文字", "内容", "標註", "标注",
    ),
    "speaker": (
        "speaker", "speaker_id", "speakerid", "client_id", "spk", "spk_id", "reader", "reader_id", "user_id",
        "说话人", "说话人id", "说话人编号", "說話人", "说话者", "发音人", "录音人", "朗读者",
    ),
    "gender": ("gender", "sex", "性别", "性別"),
    "accent": ("accent", "accents", "dialect", "口音", "方言"),
    "age_group": ("age_group", "年龄段", "年齡段"),
    "split": ("split", "subset", "set", "partition", "划分", "劃分", "数据集划分"),
    "id": ("id", "utt_id", "utterance_id", "uttid", "utt", "segment_id", "编号", "編號"),
    "start": ("start", "offset", "begin", "start_time", "begin_time", "开始", "开始时间", "起始时间", "開始時間"),
    "end": ("end", "end_time", "结束", "结束时间", "結束時間"),
    "duration": ("duration", "duration_seconds", "seconds", "length_seconds", "时长", "時長"),
}  # fmt: skip
ROLES = tuple(KNOWN)
NEEDED = ("audio", "text")
_OF_SPEAKERS = " (and, if one names the speakers, --column speaker=NAME)"
OWN_KEYS = ("audio_filepath", "offset", "duration", "text", "id")  # of a manifest; another column cannot have them


def columns_of(found: Sequence[str], request: Request, where: str, needed: Iterable[str] = NEEDED) -> dict[str, str]:
    """Role to column.

    Args:
        found: the columns or keys that are there.
        where: names the source in errors.
    Raises:
        UserError: a chosen column is not there, or one that is needed cannot be told.
    """
    spelt = {_plain(name): name for name in reversed(found)}
    roles: dict[str, str] = {}
    for role, name in request.columns.items():
        if role not in KNOWN:
            raise UserError(f"--column {role}={name}: expected one of {', '.join(ROLES)} before the '='")
        if name not in found:
            near = difflib.get_close_matches(name, found, n=1)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            raise UserError(f"--column {role}={name}: {where} has no such column; there are: {_listed(found)}.{hint}")
        roles[role] = name
    taken = set(roles.values())
    for role, names in KNOWN.items():
        if role in roles:
            continue
        column = next((spelt[name] for name in names if name in spelt and spelt[name] not in taken), None)
        if column is not None:
            roles[role] = column
            taken.add(column)
    if missing := [role for role in needed if role not in roles]:
        options = " ".join(f"--column {role}=NAME" for role in missing)
        raise UserError(
            f"{where}: none of its columns is known to hold the {' or the '.join(missing)}; there are: "
            f"{_listed(found)}. Say which it is: {options}" + ("" if "speaker" in roles else _OF_SPEAKERS)
        )
    return roles


def told_columns(found: Sequence[str], roles: Mapping[str, str]) -> str:
    """Which column was taken for what, as a sentence."""
    used = ", ".join(f"{role} from {column!r}" for role, column in roles.items())
    others = [name for name in found if name not in roles.values()]
    kept = [name for name in others if name not in OWN_KEYS]
    left = [name for name in others if name in OWN_KEYS]
    more = f"; kept beside them: {_listed(kept)}" if kept else ""
    return f"columns: {used}{more}" + (f"; not kept: {_listed(left)}" if left else "")


def further_keys(row: Mapping[str, Any], roles: Mapping[str, str]) -> dict[str, Any]:
    """Gender, accent and age group under our names, and every other value under the source's, as they are."""
    own = {role: row.get(roles[role]) for role in ("gender", "accent", "age_group") if role in roles}
    return own | {name: row[name] for name in row if name not in roles.values() and name not in OWN_KEYS}


def _plain(name: str) -> str:
    return name.strip().lower().replace(" ", "_").replace("-", "_")


def _listed(names: Iterable[str]) -> str:
    return ", ".join(repr(name) for name in names) or "none"
