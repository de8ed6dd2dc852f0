"""From raw clicks to feedback and training signal that can be trusted."""
