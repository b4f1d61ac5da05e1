"""The model that speaks semantic IDs: its vocabulary, its transformer and the search for the items it means."""
