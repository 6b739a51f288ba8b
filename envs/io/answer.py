"""What a command says when it fails: one line, whatever the reason."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable

LONGEST = 400  # characters of a message
WRONG, INTERRUPTED, CLOSED = 2, 130, 141  # exit codes, the last two as a shell gives them for SIGINT and SIGPIPE


def answer(program: str, work: Callable[[], int], wrong: tuple[type[Exception], ...]) -> int:
    """Do the work of a command; returns its exit code.

    Args:
        program: Its name, which messages begin with.
        work: Returns the exit code.
        wrong: Exceptions that say what is wrong with the input. Besides, a file that cannot be read or written, and a
            reader that went away, as `| head -1` does, which is no fault.
    """
    try:
        code = work()
        sys.stdout.flush()
        return code
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # Python flushes once more when it ends
        return CLOSED
    except wrong as error:
        say(program, str(error))
    except OSError as error:
        where = f"'{error.filename}': " if error.filename is not None else ""
        say(program, f"{where}{error.strerror or error}")
    except KeyboardInterrupt:
        return INTERRUPTED
    return WRONG


def say(program: str, message: str) -> None:
    """Print a message to standard error as one line, shortened in its middle."""
    line = " ".join(message.split())
    if len(line) > LONGEST:
        half = LONGEST // 2 - 3
        line = f"{line[:half]} ... {line[-half:]}"
    print(f"{program}: {line}", file=sys.stderr)
