"""What the flow of retraining is made of: its git worktree, its memory between runs, its words to people."""
