"""Every way in which a command ends early: one class per exit code.

HarvesterError
├── UsageError          2  arguments or configuration; no call was made
├── AuthorisationError  4  nobody can be harvested until the operator acts
├── StorageError        6  the lake's or the vault's storage failed
└── LockedError         7  another run holds the lake

What goes wrong with one call is a value (`api.codes.Refusal`), never one of these:
an exception would take the call's neighbours with it.
"""

from typing import ClassVar


class HarvesterError(Exception):
    """What happened, and what to do next: one line for a person, never a secret."""

    exit_code: ClassVar[int] = 1

    def __init__(self, message: str, todo: str = "") -> None:
        super().__init__(f"{message}: {todo}" if todo else message)
        self.message = message
        self.todo = todo


class UsageError(HarvesterError):
    """The arguments or the configuration are wrong."""

    exit_code = 2


class AuthorisationError(HarvesterError):
    """Nobody can be harvested before the operator acts."""

    exit_code = 4


class StorageError(HarvesterError):
    """The lake's storage is read-only, full, or failing."""

    exit_code = 6


class LockedError(HarvesterError):
    """Another run holds the lake."""

    exit_code = 7
