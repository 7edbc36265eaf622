"""One reader of audio files, for what is transcribed and for what a model is trained on.

libsndfile decodes. Before it does, ``inspect`` counts by itself what is in the file (frames, pages, chunks), because a
header may promise less or more than there is, and a decoder that believes it stops early without a word. What is found
is a ``Remark``. Files of other formats are read by PyAV where it is installed.
"""
