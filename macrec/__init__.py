"""Multimodal generative recommendation: semantic IDs from text and images, and the models that speak them."""

__version__ = "0.1.0"
