"""Words of a text in any script."""

from __future__ import annotations

import re

# Chinese and Japanese are written without spaces: each of their characters counts as a word, as it does in scoring
# mixed texts. (Han with its extensions, Hiragana, Katakana.)
_ONE_BY_ONE = re.compile("([\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff])")


def words_of(text: str) -> list[str]:
    """Words between spaces; characters of scripts without spaces one by one."""
    return _ONE_BY_ONE.sub(r" \1 ", text).split()
