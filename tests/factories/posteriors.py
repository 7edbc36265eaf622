"""Posteriors of no model, random or with a given best path."""

import torch


def log_probs(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)).log_softmax(dim=-1)


def one_hot_path(*paths, size=4):
    """Log-probabilities whose best path is given, one row per path, padded with token 3."""
    x = torch.full((len(paths), max(map(len, paths)), size), -9.0)
    for row, path in enumerate(paths):
        for t in range(x.shape[1]):
            x[row, t, path[t] if t < len(path) else 3] = 0
    return x.log_softmax(-1), torch.tensor([len(path) for path in paths])
