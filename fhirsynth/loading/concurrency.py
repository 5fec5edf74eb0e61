"""Several things at once, of which the first that goes wrong ends all."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterable
from typing import Any


async def together(things: Iterable[Coroutine[Any, Any, None]]) -> None:
    """Do things at once and return when all are done. Raises what the first of them raised, the others being ended."""
    try:
        async with asyncio.TaskGroup() as group:
            for thing in things:
                group.create_task(thing)
    except ExceptionGroup as group_error:
        error: BaseException = group_error
        while isinstance(error, BaseExceptionGroup):
            error = error.exceptions[0]
        raise error from None
