"""The errors that a user may meet: each is one line of text and an exit code.

Messages name parameters as Python does, in backticks: `size`, `resume='auto'`. The command line shows its flags
instead: --size, --resume auto.
"""

# What a shell adds to the number of the signal that ended a command.
SIGNAL_EXIT = 128


class PipelineError(Exception):
    """Something failed; the message says what was found, what was expected, where, and what to do next."""

    exit_code = 1


class RefusedError(PipelineError):
    """The request cannot be carried out as it stands; nothing was changed."""

    exit_code = 2


class InterruptedRunError(PipelineError):
    """The run was stopped on request; what is finished stays, and the same call resumes it."""

    def __init__(self, signal_number: int, message: str) -> None:
        super().__init__(message)
        self.exit_code = SIGNAL_EXIT + signal_number


class RejectedImageError(PipelineError):
    """An input cannot become a sample.

    Attributes:
        reason: one of `records.Reason`.
        detail: what was found, for the person who looks into it.
    """

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail

    def __reduce__(self) -> tuple[type["RejectedImageError"], tuple[str, str]]:
        """Keep both arguments when the error crosses a process boundary."""
        return (type(self), (self.reason, self.detail))
