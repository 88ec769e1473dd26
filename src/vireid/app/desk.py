"""Work that waits its turn, in threads; whoever would wait long is asked to come back."""

import asyncio
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

from vireid.app.refusal import Refused

Result = TypeVar("Result")


class Desk:
    """Serves `workers` requests at once and lets `waiting` more wait."""

    def __init__(self, workers: int, waiting: int) -> None:
        self._places = workers + waiting
        self._taken = 0
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix="vireid-desk")

    @contextmanager
    def place(self) -> Iterator[None]:
        """A place in the queue, taken before a request's body is read: so memory holds no more bodies than places.

        Raises:
            Refused: all places are taken (503).
        """
        if self._taken >= self._places:
            raise Refused(503, "too many requests at once; try again in a second", {"Retry-After": "1"})
        self._taken += 1
        try:
            yield
        finally:
            self._taken -= 1

    async def run(self, work: Callable[[], Result]) -> Result:
        """What `work` returns, when its turn has come."""
        return await asyncio.get_running_loop().run_in_executor(self._pool, work)
