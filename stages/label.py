"""``python -m stages.label base``: what a member hears in the corpus, written down for students to learn from."""

from __future__ import annotations

import argparse

from stages.context import stage_context


def main() -> None:
    parser = argparse.ArgumentParser(prog="stages.label", description=__doc__)
    parser.add_argument("name", help="of an entry in the section label of the parameter file")
    arguments = parser.parse_args()
    with stage_context("label", arguments.name) as context:
        from diminuendo.artifact.onnx_file import MODEL
        from diminuendo.core.plain_text import echo
        from diminuendo.data.prepared import PreparedCorpus
        from diminuendo.labelling.label import label_corpus
        from diminuendo.runtime.recognizer import Recognizer

        recognizer, corpus = Recognizer(context.parent / MODEL, threads=1), PreparedCorpus.open(context.family.corpus)
        summary = label_corpus(recognizer, corpus, context.settings, context.out, context.work, echo)
        context.track.summary({f"{split}_utterances": facts["utterances"] for split, facts in summary.items()})
        context.track.artifact(context.out / "summary.json")


if __name__ == "__main__":
    main()
