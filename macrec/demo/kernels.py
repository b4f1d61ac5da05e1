"""The kernels of the demo page: one per visitor, and not more than the machine can hold."""

from __future__ import annotations

from typing import Any

from jupyter_server.services.kernels.kernelmanager import AsyncMappingKernelManager
from tornado.web import HTTPError
from traitlets import Int


class BoundedKernelManager(AsyncMappingKernelManager):
    """Starts at most `most_kernels` at once; further visitors are asked to wait. Voila starts one per page."""

    most_kernels = Int(8, config=True, help="Each takes about 500 MB.")
    _starting = 0

    async def _async_start_kernel(self, **options: Any) -> str:
        if len(self) + self._starting >= self.most_kernels:
            raise HTTPError(503, reason="All places of this page are taken: try again in some minutes")
        self._starting += 1
        try:
            return str(await super()._async_start_kernel(**options))
        finally:
            self._starting -= 1

    start_kernel = _async_start_kernel  # type: ignore[assignment]
