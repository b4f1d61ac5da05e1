"""From vectors to semantic IDs: codebooks, and the tables they leave behind."""
