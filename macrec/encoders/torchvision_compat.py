"""Importing torchvision beside a PyTorch build that it was not compiled for.

The torchvision wheel of PyPI carries operators compiled against the CUDA build of PyTorch. Beside the CPU build they do
not load, and `import torchvision` then stops with "operator torchvision::nms does not exist", because it registers the
shape function of an undeclared operator. sentence-transformers and open_clip import torchvision, for its
picture transforms alone. Declaring the two operators (with no code behind them) is enough for the import; calling them
fails as it should.
"""

from __future__ import annotations

import importlib
import sys
from types import ModuleType

NMS_MISSING = "operator torchvision::nms does not exist"

# A torch Library withdraws its declarations when it is garbage collected, so it has to be kept.
_declared: list[object] = []


def import_torchvision() -> ModuleType:
    """Import torchvision; where exactly the operators above are missing, declare them and import again.

    Every other error passes through. Calling it again returns the same module.
    """
    try:
        return importlib.import_module("torchvision")
    except RuntimeError as error:
        if NMS_MISSING not in str(error) or _declared:
            raise
    declare_operators()
    # The failed import leaves finished submodules behind, and those would not be run again.
    for name in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
        del sys.modules[name]
    return importlib.import_module("torchvision")


def declare_operators() -> None:
    """Declare `torchvision::nms` and `torchvision::qnms`, without an implementation."""
    import torch

    operators = torch.library.Library("torchvision", "DEF")  # type: ignore[no-untyped-call]
    for name in ("nms", "qnms"):
        operators.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")  # type: ignore[no-untyped-call]
    _declared.append(operators)
