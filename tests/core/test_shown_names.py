import os

import pytest

from diminuendo.core.plain_text import shown


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("clips/ärger 1.wav", "clips/ärger 1.wav"),
        ("می‌خواهم.wav", "می‌خواهم.wav"),
        ("a\nb\tc\r.wav", "a\\nb\\tc\\r.wav"),
        ("a\x1b[31m.wav", "a\\x1b[31m.wav"),
        ("a\u2028b\u202e.wav", "a\\u2028b\\u202e.wav"),
        (os.fsdecode(b"a\xff\xfe.wav"), "a\\xff\\xfe.wav"),
        (b"a\xe4.wav", "a\\xe4.wav"),
    ],
)
def test_a_name_is_one_line(name, expected):
    assert shown(name) == expected
    assert len(shown(name).splitlines()) == 1
    shown(name).encode()
