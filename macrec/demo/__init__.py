"""The page that shows a finished run: recommendations, and why."""
