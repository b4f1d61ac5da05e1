"""Running notebooks, keeping runs, the command line."""
