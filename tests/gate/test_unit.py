"""Words or characters: by the script of the references."""

from __future__ import annotations

import numpy as np
import pytest

from diminuendo.evaluation.scoring import count_errors
from diminuendo.gate.decision import NOT_JUDGED
from diminuendo.gate.unit import CHARACTERS, WORDS, unit_of
from tests.factories.judging import evidence, judged, refused

SPACELESS = {
    "Chinese": "今天天气很好",
    "traditional Chinese": "今天天氣很好",
    "Japanese": "コーヒーをください々",
    "half-width Japanese": "ｺｰﾋｰ",
    "Thai": "วันนี้อากาศดี",
    "Lao": "ມື້ນີ້ອາກາດດີ",
    "Khmer": "ថ្ងៃនេះអាកាសធាតុល្អ",
    "Burmese": "ဒီနေ့ရာသီဥတုကောင်းတယ်",
}
SPACED = {
    "English": "the weather is fine",
    "Vietnamese": "hôm nay trời đẹp",
    "Korean": "오늘 날씨가 좋다",
    "Russian": "сегодня хорошая погода",
    "Arabic": "الطقس جميل اليوم",
    "Hindi": "आज मौसम अच्छा है",
    "digits": "1 2 3",
    "nothing": "",
}


@pytest.mark.parametrize(
    ("language", "unit"), [*((one, CHARACTERS) for one in SPACELESS), *((x, WORDS) for x in SPACED)]
)
def test_the_script_decides(language, unit):
    text = (SPACELESS | SPACED)[language]
    assert unit_of("auto", [text]) is unit
    assert unit_of("words", [text]) is WORDS and unit_of("characters", [text]) is CHARACTERS


@pytest.mark.parametrize(
    ("texts", "unit"),
    [
        (["打开 WiFi"], CHARACTERS),  # two characters, one word
        (["打开WiFi"], CHARACTERS),
        (["turn on 蓝牙"], WORDS),  # as many of either
        (["turn on 蓝牙", "好"], CHARACTERS),
        (["call Ōta 太田 on his wi-fi line"], WORDS),
        (["好 ，。！？ 1 2 3"], CHARACTERS),  # signs and figures are neither
    ],
)
def test_in_mixed_text_the_majority_decides_over_the_whole_test_set(texts, unit):
    assert unit_of("auto", texts) is unit


def test_one_wrong_character_in_each_of_five_chinese_sentences():
    said = ["今天天气很好", "请打开客厅的灯", "明天早上七点叫我", "播放音乐", "关闭窗户吧"]
    heard = ["今天天汽很好", "请打开客厅的等", "明天早上七点交我", "播放音月", "关闭床户吧"]
    found = count_errors(said, heard)
    columns = {name: np.array([getattr(count, name) for count in found]) for name in COLUMNS}
    right = {name: np.zeros(5, int) if name not in ("words", "characters") else columns[name] for name in COLUMNS}
    rules = judged(
        evidence(columns, right, unit=unit_of("auto", said), speakers=["one", "two"] * 3),
        min_utterances=5,
        min_characters=30,
        cer=0.25,
        teacher={"wer": 0.25, "group_wer": 0.25, "deletions": 0.0, "insertions": 0.0},
    )
    assert refused(rules) == set()
    assert rules["file", "wer"].verdict == NOT_JUDGED
    for reference in ("file", "teacher"):
        assert rules[reference, "cer"].figure == pytest.approx(5 / 30)
    in_words = judged(evidence(columns, right, speakers=["one", "two"] * 3), wer=0.99)
    assert in_words["file", "wer"].figure == 1.0


COLUMNS = (
    "substitutions", "deletions", "insertions", "words", "characters",
    "character_substitutions", "character_deletions", "character_insertions",
)  # fmt: skip
