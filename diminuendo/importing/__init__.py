"""Other formats of speech corpora, read as manifests: one reader for each format, and what all of them share.

A reader is a generator of ``Utterance`` and of ``Unusable``. ``corpus.import_corpus`` looks at the audio, divides the
utterances among train, dev and test, and writes the folder.
"""
