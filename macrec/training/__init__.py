"""The one training loop: a generator of events. Sinks print and draw.

Every random draw of a training is a function of its seed and the step, never of what was drawn before. So a training
that is interrupted and resumed from its checkpoint goes on exactly as if nothing had happened, bit for bit on the CPU.
"""

from macrec.training.draws import best_device, generator_for
from macrec.training.events import Event, Trained, Usage, drain
from macrec.training.loop import train
from macrec.training.plan import VALIDATION_LOSS, Decay, Keep, Plan, Watch
from macrec.training.task import Task

__all__ = [
    "VALIDATION_LOSS",
    "Decay",
    "Event",
    "Keep",
    "Plan",
    "Task",
    "Trained",
    "Usage",
    "Watch",
    "best_device",
    "drain",
    "generator_for",
    "train",
]
