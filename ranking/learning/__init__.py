"""What is learned: cross-encoders, their inference, their adaptation to one query, and their training."""
