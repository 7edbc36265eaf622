"""Where a pretrained checkpoint comes from."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Mapping
from typing import Any

from pydantic import model_validator

from diminuendo.config.base import Section

COMMIT = re.compile(r"[0-9a-f]{40}")
REPOSITORY = re.compile(r"\w[\w.-]*/\w[\w.-]*", re.ASCII)
BUNDLE = re.compile(r"\w+", re.ASCII)


class PretrainedConfig(Section):
    """A folder in Hugging Face's format, a repository of its hub at a commit, or a bundle of torchaudio by name."""

    path: str | None = None  # folder with config.json, model.safetensors, and its tokenizer's files
    hub: str | None = None  # owner/name
    revision: str | None = None  # the commit, 40 digits: a branch may hold other weights tomorrow
    bundle: str | None = None  # of torchaudio.pipelines, such as WAV2VEC2_ASR_BASE_960H
    licence: str | None = None  # of the weights, where neither the folder nor the bundle says it

    @model_validator(mode="before")
    @classmethod
    def _a_section(cls, given: Any) -> Any:
        if isinstance(given, (Mapping, cls)):
            return given
        raise ValueError(
            f"expected {{path: FOLDER}}, {{hub: owner/name, revision: COMMIT}} or {{bundle: NAME}}, found {given!r}"
        )

    @model_validator(mode="after")
    def _one_source(self):
        given = [key for key in ("path", "hub", "bundle") if getattr(self, key) is not None]
        if len(given) != 1:
            raise ValueError(f"give exactly one of path, hub and bundle, found {' and '.join(given) or 'none'}")
        if self.path is not None and self.source in ("", ".", ".."):
            raise ValueError(f"path: expected a folder, found {self.path!r}; name it by its own name")
        if (self.path or "").startswith("~"):
            raise ValueError(f"path: ~ stands for no folder here; write {self.path!r} in full")
        if self.bundle is not None and not BUNDLE.fullmatch(self.bundle):
            raise ValueError(f"bundle: expected a name of torchaudio.pipelines, found {self.bundle!r}")
        if self.hub is not None and not REPOSITORY.fullmatch(self.hub):
            raise ValueError(f"hub: expected owner/name, found {self.hub!r}")
        if self.hub is not None and not COMMIT.fullmatch(self.revision or ""):
            raise ValueError(
                f"revision: expected the commit of {self.hub}, 40 hexadecimal digits, found "
                f"{self.revision or 'nothing'}; the hub shows it beside the files (History)"
            )
        if self.hub is None and self.revision is not None:
            raise ValueError("revision: belongs to hub; leave it out")
        return self

    @property
    def source(self) -> str:
        """In words that hold on every machine: a folder is named by its last part."""
        if self.hub is not None:
            return self.hub
        return (
            f"torchaudio.pipelines.{self.bundle}" if self.bundle else posixpath.basename(posixpath.normpath(self.path))
        )

    @property
    def stated(self) -> dict[str, str]:
        """As a record says it: without where the folder lies, so that the same folder elsewhere is the same thing."""
        return self.model_dump(exclude_none=True) | ({"path": self.source} if self.path is not None else {})
