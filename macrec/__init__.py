"""Multimodal generative recommendation: semantic IDs from text and images, and models that generate them."""

import os

from macrec.threads import bounded_spin

__version__ = "0.1.0"

# OpenMP reads its settings once, when torch is loaded: they count where macrec is imported before it.
os.environ.update(bounded_spin(os.environ))
