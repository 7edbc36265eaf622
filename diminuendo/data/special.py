"""How tokens are spelt that stand for no text."""

SPECIAL = "<special:"  # begins them, such as ``<special:unk>``
