"""``tokenizer.json`` of a foreign checkpoint, opened by the library ``tokenizers``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from diminuendo.core.errors import UserError

if TYPE_CHECKING:
    from tokenizers import Tokenizer


def opened_tokenizer(content: bytes, path: Path) -> Tokenizer:
    """The tokenizer, which has cut a first text.

    Args:
        content: of the file.
        path: which the message names.
    Raises:
        UserError: it is none, or is damaged.
    """
    from tokenizers import Tokenizer

    try:
        tokenizer = Tokenizer.from_str(content.decode("utf-8"))
        tokenizer.encode("a", add_special_tokens=False)  # some damage shows when a text is cut
        return tokenizer
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:  # what Rust gives up on is no Exception, and what it raises has no class of its own
        reason = " ".join(str(error).split())[:120]
        raise UserError(f"{path}: not a tokenizer ({reason}); download it again") from None
