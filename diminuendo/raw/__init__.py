"""The raw files of a corpus, as a dependency of the pipeline. It runs at each repro, so it imports little."""
