"""A profile as a table for a terminal, and as JSON."""

from __future__ import annotations

from dataclasses import asdict

from tabulate import tabulate

from diminuendo.profiling.measure import Operator, Profile

ROWS = 14  # further operators are summed in one line


def as_dict(profile: Profile) -> dict:
    """Everything in the table, in seconds, multiply-accumulates and bytes."""
    return {
        **asdict(profile),
        "calls": profile.calls,
        "multiply_accumulates_per_second": profile.multiply_accumulates / profile.seconds,
        "bytes_per_second": profile.bytes_moved / profile.seconds,
        "arithmetic_share": profile.arithmetic_share,
        "memory_share": profile.memory_share,
    }


def as_text(profile: Profile) -> str:
    p = profile
    speed, peak = (2e-9 * n for n in (p.multiply_accumulates / p.seconds, p.peak_multiply_accumulates_per_second))
    moved, bandwidth = 1e-9 * p.bytes_moved / p.seconds, 1e-9 * p.peak_bytes_per_second
    threads = "one thread" if p.threads == 1 else f"{p.threads} threads"
    text = f" and {p.tokens} tokens of text" if p.tokens else ""
    cached = ", so most of them do" if p.memory_share > 1 else ""
    return "\n".join(
        [
            f"{p.path}: {1e6 * p.seconds:.0f} µs for {p.audio_seconds:g} s of audio{text} on {threads}, "
            f"{p.audio_seconds / p.seconds:.0f} times real time (median of {p.runs} runs)",
            "",
            _table("module", p.modules, len(p.modules)),
            "",
            _table("operator", p.operators, ROWS),
            "",
            "Times are the profiler's, scaled to the run without it: with it, a run takes "
            f"{p.profiler_slowdown:.2f} times as long.",
            "",
            f"arithmetic  {speed:.1f} of {peak:.1f} GFLOP/s: {1e-6 * p.multiply_accumulates:.1f} million "
            f"multiply-accumulates, {p.arithmetic_share:.0%} of the time if all ran at the machine's peak",
            f"memory      {moved:.1f} of {bandwidth:.1f} GB/s: {1e-6 * p.bytes_moved:.1f} MB of weights and "
            f"activations, {p.memory_share:.0%} of the time if no cache held any{cached}",
            f"calls       {p.calls} operators, {1e6 * p.seconds / p.calls:.1f} µs each on average",
            "",
            _verdict(p),
        ]
    )


def _verdict(p: Profile) -> str:
    if p.arithmetic_share > 1:
        return "No model exceeds the machine's peak: others used the machine meanwhile. Measure again when it is idle."
    if p.arithmetic_share > 0.5:
        return "Mostly arithmetic: fewer or narrower products make it faster, fewer operators hardly do."
    return (
        f"{1 - p.arithmetic_share:.0%} of the time is not arithmetic at the machine's peak: calls of operators, "
        "products too small to fill its units, copies and functions of single values."
    )


def _table(title: str, groups: tuple[Operator, ...], rows: int) -> str:
    shown, others = groups[:rows], groups[rows:]
    if others:
        sums = (sum(getattr(group, key) for group in others) for key in ("calls", "seconds", "share"))
        work = sum(group.multiply_accumulates for group in others)
        shown = (*shown, Operator(f"{len(others)} others", *sums, work))
    lines = [
        (g.name, f"{1e6 * g.seconds:.0f}", f"{g.share:.1%}", str(g.calls), f"{1e-6 * g.multiply_accumulates:.2f}")
        for g in shown
    ]
    titles = (title, "µs", "share", "calls", "million MAC")
    align = ("left", *["right"] * 4)
    return tabulate(lines, titles, tablefmt="simple", disable_numparse=True, colalign=align)
