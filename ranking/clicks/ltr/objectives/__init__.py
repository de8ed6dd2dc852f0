"""The objectives of unbiased learning to rank, one class each."""
