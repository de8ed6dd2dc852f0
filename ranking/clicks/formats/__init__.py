"""One module per layout in which click logs come."""
