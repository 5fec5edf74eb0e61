"""What a user can put right: errors whose message names the input, what was expected and what to do."""

from __future__ import annotations


class FhirsynthError(Exception):
    """Base of the errors that fhirsynth raises on purpose; `exit_code` is what the command line ends with."""

    exit_code = 2


class InputError(FhirsynthError):
    """Something that was asked for cannot be: an option, a key, a file that cannot be read."""

    exit_code = 2


class OutputError(FhirsynthError):
    """The output cannot be written: a folder in use or read-only, a full disk, a worker that was killed."""

    exit_code = 3


class InterruptedRunError(FhirsynthError):
    """The user stopped the run; what is finished is kept."""

    exit_code = 130
