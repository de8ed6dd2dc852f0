"""Learning to rank from clicks: what clicks show once the effect of the rank is taken out, and whether that helps."""
