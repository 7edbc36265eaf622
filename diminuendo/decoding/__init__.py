"""CTC beam search with a word n-gram language model; needs the extra ``decoding``, which nothing else imports."""

from diminuendo.decoding.search import BeamSearch
from diminuendo.decoding.train import train_language_model

__all__ = ["BeamSearch", "train_language_model"]
