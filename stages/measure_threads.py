"""``python -m stages.measure_threads 1 2``: seconds of a step of the teacher's training, for each number of threads.

Called by ``stages.threads``. Numbers of threads take turns, so that other work on the machine slows all of them alike.
Nothing is measured where ``training.device`` means a GPU.
"""

from __future__ import annotations

import json
import statistics
import sys
import time

STEPS, ROUNDS = 2, 4  # the first round warms up


def main() -> None:
    choices = list(map(int, sys.argv[1:]))
    from itertools import islice

    import torch

    from diminuendo.data.batches import BatchSource
    from diminuendo.data.prepared import PreparedCorpus
    from diminuendo.family import current
    from diminuendo.losses.objective import Objective
    from diminuendo.parameters import load_params
    from diminuendo.training.device import choose_device
    from diminuendo.training.fine_tuning import frozen
    from diminuendo.training.step import optimiser_for
    from stages.train_teacher import corpus_of, starting_model

    family = current()
    params = load_params(family.params)
    if choose_device(params.training_of("teacher").device).type == "cuda":
        print("{}")
        return
    corpus = corpus_of(params, PreparedCorpus.open(family.corpus, verify=False))
    training = params.training_of("teacher")
    model = starting_model(params, corpus).train()
    objective = Objective(params.teacher.losses, model, None)
    with frozen(model, training):
        optimiser = optimiser_for(model, objective, training)
        source = BatchSource(corpus, corpus.train, training.batch_seconds, params.seed, training.augmentation)
        batches = list(islice(source.epoch(), STEPS))
        seconds: dict[int, list[float]] = {count: [] for count in choices}
        for count in choices * ROUNDS:
            torch.set_num_threads(count)
            begin = time.perf_counter()
            for batch in batches:
                features, frames = model.frontend(batch.waveform, batch.lengths)
                loss, _ = objective(model.respond(features, frames, batch), features, frames, batch)
                optimiser.zero_grad(set_to_none=True)
                loss.backward()
                optimiser.step()
            seconds[count].append((time.perf_counter() - begin) / len(batches))
    print(json.dumps({count: statistics.median(taken[1:]) for count, taken in seconds.items()}))


if __name__ == "__main__":
    main()
