"""Metrics of rankings, protocols, and the significance of differences."""
