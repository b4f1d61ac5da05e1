"""The error for bad input: a sentence that names the file, the row, the field and what to do; and what is left out."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Callable
from functools import partial
from pathlib import Path


class DataError(ValueError):
    """Input that cannot be used. Its text is one sentence for a person; the command line prints it and exits with 2.

    `what` is the problem and `fix` the remedy. `file`, `row` (1-based, as an editor counts lines or a
    table counts records) and `field` say where; give those that are known.

    >>> str(DataError("the price is negative", file="items.csv", row=3, field="price", fix="correct it"))
    'items.csv, row 3, field "price": the price is negative; correct it.'
    """

    def __init__(
        self,
        what: str,
        *,
        fix: str,
        file: str | Path | None = None,
        row: int | str | None = None,
        field: str | None = None,
    ) -> None:
        self.what, self.fix, self.file, self.row, self.field = what, fix, file, row, field
        where = [str(file)] if file is not None else []
        if row is not None:
            where.append(f"row {row}" if isinstance(row, int) else row)
        if field is not None:
            where.append(f'field "{field}"')
        place = ", ".join(where)
        sentence = f"{place}: {what}; {fix}." if place else f"{what[:1].upper()}{what[1:]}; {fix}."
        super().__init__(printable(sentence))

    def __reduce__(self) -> tuple[Callable[..., DataError], tuple[object, ...]]:
        """Travel between processes; the arguments are by keyword, which plain exceptions cannot do."""
        return partial(type(self), what=self.what, fix=self.fix, file=self.file, row=self.row, field=self.field), ()


def error_number(error: BaseException) -> int | None:
    """The system's error number; libraries in Rust, such as polars, give it in the text only ("os error 28")."""
    if isinstance(error, OSError) and error.errno is not None:
        return error.errno
    told = re.search(r"\(os error (\d+)\)", str(error))
    return int(told[1]) if told else None


CLOSED = (errno.EACCES, errno.EPERM, errno.EMFILE, errno.ENFILE, errno.EIO, errno.EBUSY)
"""Numbers of errors that do not depend on a file's content."""


def unseen(error: BaseException, file: Path) -> DataError | None:
    """The error for a file that exists but cannot be read: no permission, too many open files, a bad disk.

    None for any other error: the file is missing, or its content is at fault.
    """
    number = error_number(error)
    if number not in CLOSED:
        return None
    what = f"the file cannot be read ({os.strerror(number)}), and may be sound"
    return DataError(what, file=file, fix="check its permissions, the disk, and how many files are open")


class NotApplicable(DataError):
    """The data are sound but lack what this analysis needs, such as pictures or test users.

    A run skips the notebook that raises it, says so, and goes on with the others.
    """


LEFT_OUT = "Left out: "
"""What a line begins with that says what an analysis goes on without; the report of a run collects them."""


def say_left_out(what: str, why: str) -> None:
    """Print the line that says what of the data, the settings or the systems is left out, and why."""
    print(printable(f"{LEFT_OUT}{what}, as {why}."))


def printable(sentence: str) -> str:
    r"""One line without control characters, whatever an id or a file name holds: a terminal would execute them.

    >>> printable("a file called \x1b[31mred\nand\tmore")
    'a file called \\x1b[31mred and more'
    """
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode()
        for character in " ".join(sentence.split())
    )
