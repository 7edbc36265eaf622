"""From measurements to what people read: leaderboard, figures, tables."""
