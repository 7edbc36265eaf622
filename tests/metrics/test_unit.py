"""Words or characters: by the script of the references."""

from __future__ import annotations

import pytest

from diminuendo.metrics.unit import CHARACTERS, WORDS, unit_of

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
    assert unit_of("wer", [text]) is WORDS and unit_of("cer", [text]) is CHARACTERS


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
