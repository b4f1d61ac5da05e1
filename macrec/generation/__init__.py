"""The generator of semantic IDs: its tasks, its training and the decoding of items."""
