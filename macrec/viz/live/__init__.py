"""Boards that follow a training."""
