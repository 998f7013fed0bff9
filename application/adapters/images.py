"""Who works on the pictures that people send: threads on what we know well, a process of its own on all else."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final

import msgspec

from application.adapters.drawing import Drawn
from application.adapters.pixels import small_picture
from application.errors import InvalidImageError, UnavailableError
from application.ports import Renditions

DRAWING: Final = (sys.executable, "-m", "application.adapters.drawing")
PATIENCE: Final = 120.0

_ENDED_BY_ITS_FILE: Final = frozenset[int](
    {
        signal.SIGSEGV,
        signal.SIGABRT,
        signal.SIGBUS,
        signal.SIGILL,
        signal.SIGFPE,
        signal.SIGXCPU,
        signal.SIGKILL,  # by the system, which had no memory left; whoever kills us all does not let us tell
    }
)

_read_answer: Final = msgspec.msgpack.Decoder(Drawn).decode


class PillowImages:
    """``most`` is how many bytes a picture may have; ``threads`` bounds how many are in memory as pixels at once.

    ``program`` draws the pictures of an upload, ``patience`` is how many seconds it may take.
    """

    def __init__(
        self,
        most: int,
        *,
        threads: int = 2,
        program: Sequence[str] = DRAWING,
        patience: float = PATIENCE,
    ) -> None:
        self._most = most
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="images")
        self._program = program
        self._patience = patience

    async def avatar(self, content: bytes) -> bytes:
        self._require_short(content)
        return await asyncio.get_running_loop().run_in_executor(self._threads, small_picture, content)

    async def renditions(
        self, content: bytes, mime_type: str, sides: Sequence[tuple[str, int]]
    ) -> Renditions:
        self._require_short(content)
        process = await asyncio.create_subprocess_exec(
            *self._program,
            mime_type,
            msgspec.json.encode(sides).decode(),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            env={"PYTHONPATH": os.pathsep.join(sys.path)},  # and none of our secrets
        )
        try:
            async with asyncio.timeout(self._patience):
                answer, _ = await process.communicate(content)
        except TimeoutError as late:
            raise InvalidImageError({"image": ["Takes too long to be read"]}) from late
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        code = process.returncode
        assert code is not None, "it has ended, or was ended"
        if code == 0:
            drawn = _read_answer(answer)
            if drawn.renditions is None:
                raise InvalidImageError(drawn.faults)
            return drawn.renditions
        if -code in _ENDED_BY_ITS_FILE:
            raise InvalidImageError({"image": ["Cannot be read"]})
        if code < 0:
            raise UnavailableError(f"Drawing was stopped by signal {-code}")
        raise RuntimeError(f"drawing ended with {code}, and standard error says why")

    def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _require_short(self, content: bytes) -> None:
        if len(content) > self._most:
            raise InvalidImageError({"image": [f"Must be at most {self._most} bytes"]})
