"""What a command says when it fails: one line, whatever the reason."""

from __future__ import annotations

import os
import re
import sys
import traceback
from collections.abc import Callable

from .import_string import their_files

FRAME = re.compile(r'File "([^"]+)", line (\d+)')
LONGEST = 400  # characters of a message
WRONG, INTERRUPTED, CLOSED = 2, 130, 141  # exit codes, the last two as a shell gives them for SIGINT and SIGPIPE


def answer(program: str, work: Callable[[], int], wrong: tuple[type[Exception], ...]) -> int:
    """Do the work of a command; returns its exit code.

    Args:
        program: Its name, which messages begin with.
        work: Returns the exit code.
        wrong: Exceptions that say what is wrong with the input. Besides, a file that cannot be read or written, and a
            reader that went away, as `| head -1` does, which is no fault; and what the user's own code raises.
    """
    try:
        code = work()
        sys.stdout.flush()
        return code
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # Python flushes once more when it ends
        return CLOSED
    except MemoryError as error:
        say(program, f"not enough memory: {error}; ask for less at a time")
    except (Exception, SystemExit) as error:
        is_ours = isinstance(error, wrong)
        where = _in_their_code(error, is_ours)
        if where is not None:
            said = f"ended with sys.exit({error.code!r})" if isinstance(error, SystemExit) else str(error)
            say(program, f"{where}: {type(error).__name__}: {said}; this is code of yours, not of {program}")
        elif is_ours:
            say(program, str(error))
        elif isinstance(error, OSError):
            _say_os_error(program, error)
        else:
            raise
    except KeyboardInterrupt:
        return INTERRUPTED
    return WRONG


def _in_their_code(error: BaseException, is_last: bool) -> str | None:
    """The last place in code that the user brought, if the fault came out of it; in another process of Ray, too.

    Args:
        error: What was raised.
        is_last: Nothing may have been called from there: what is raised here says all that it has to.
    """
    if is_last:
        text = "".join(traceback.format_tb(error.__traceback__)[-1:])
    else:
        text = "".join(traceback.format_exception(error))
    theirs = their_files()
    places = [(file, line) for file, line in FRAME.findall(text) if os.path.realpath(file) in theirs or file in theirs]
    return f"{places[-1][0]}, line {places[-1][1]}" if places else None


def _say_os_error(program: str, error: OSError) -> None:
    where = f"'{error.filename}': " if error.filename is not None else ""
    say(program, f"{where}{error.strerror or error}")


def say(program: str, message: str) -> None:
    """Print a message to standard error as one line, shortened in its middle."""
    line = " ".join(message.split())
    if len(line) > LONGEST:
        half = LONGEST // 2 - 3
        line = f"{line[:half]} ... {line[-half:]}"
    print(f"{program}: {line}", file=sys.stderr)
