"""The parts of the retraining flow: its git worktree, its memory between runs, its reports."""
