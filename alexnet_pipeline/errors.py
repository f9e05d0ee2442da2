"""The errors shown to users: each has a one-line message and an exit code.

Messages name parameters in Python notation, in backticks: `size`, `resume='auto'`. The command line replaces them
with its flags: --size, --resume auto.
"""

# Exit code of a command that a signal ended, less the signal's number; the shells' convention.
SIGNAL_EXIT = 128


class PipelineError(Exception):
    """Something failed; the message says what was found, what was expected, where, and what to do next.

    Attributes:
        told_elsewhere: whether another process of the run shows it.
    """

    exit_code = 1
    told_elsewhere = False


class OtherContentError(PipelineError):
    """A file that was to be created is there with other content."""


class ChangedInputError(PipelineError):
    """A file of the source is gone, or is another one than when the source was listed."""


class RefusedError(PipelineError):
    """The request cannot be carried out as it stands; existing results are untouched."""

    exit_code = 2


class BusyError(RefusedError):
    """Another process or thread holds a lock."""


class InterruptedRunError(PipelineError):
    """The run was stopped on request; what is finished stays, and the same call resumes it."""

    def __init__(self, signal_number: int, message: str) -> None:
        super().__init__(message)
        self.exit_code = SIGNAL_EXIT + signal_number


class RejectedImageError(PipelineError):
    """An input cannot become a sample.

    Attributes:
        reason: one of `records.Reason`.
        detail: what was found in the input.
    """

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail

    def __reduce__(self) -> tuple[type["RejectedImageError"], tuple[str, str]]:
        """Pickle both arguments, so that the error can cross a process boundary."""
        return (type(self), (self.reason, self.detail))
