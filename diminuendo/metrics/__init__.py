"""What recognition is measured by. Nothing here imports torch."""
