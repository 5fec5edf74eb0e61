"""What can go wrong with an expression: when it is compiled, and when it is evaluated."""

from __future__ import annotations


class Unsupported(ValueError):  # noqa: N818 - the name says what it is to whoever reads the message
    """An expression that cannot be compiled: misspelt, or it asks for what is not there (a terminology server).

    The message names the expression and the place in it, counted from 1.
    """

    def __init__(self, reason: str, expression: str = "", at: int = 0) -> None:
        self.reason = reason
        self.expression = expression
        self.at = at
        place = f" at character {at + 1} of the FHIRPath expression {expression}" if expression else ""
        super().__init__(reason + place)

    def inside(self, expression: str) -> Unsupported:
        """The same error with the expression that it was found in."""
        return Unsupported(self.reason, expression, self.at)


class Undecided(Exception):  # noqa: N818 - no error of anyone: the question has no answer
    """An evaluation that FHIRPath gives no answer for: several values where one is asked for, units that differ."""
