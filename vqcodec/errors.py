"""Every fault that a user can cause.

    VqcError
     +-- InputError      a picture, folder or path that cannot be used
     +-- OutputError     an output that exists already or cannot be written
     +-- FormatError     a .vqc file that is damaged, or not one at all
     +-- ModelError      a model file that cannot be used, or a file's model that is not here
     +-- SettingsError   an option, recipe key or value that makes no sense
     +-- TrainingError   a training that has diverged
     |    +-- LostProcessError   a process of a shared training that has ended alone
     +-- TargetError     a size or score that no quality reaches

The text is one sentence that says what is wrong, where, and what to do about it. The
library only raises; the command line turns a VqcError into stderr and exit code 1.
"""

from __future__ import annotations


class VqcError(Exception):
    """The base of all errors that vqc raises on purpose."""


class InputError(VqcError):
    """A picture, folder or path that cannot be used."""


class OutputError(VqcError):
    """An output that exists already or cannot be written."""


class FormatError(VqcError):
    """A .vqc file that is damaged, truncated, of a newer version, or not one at all."""


class ModelError(VqcError):
    """A model file that cannot be used, or a model that a file needs and that is not here."""


class SettingsError(VqcError):
    """An option, recipe key or value that makes no sense."""


class TrainingError(VqcError):
    """A training that has diverged."""


class LostProcessError(TrainingError):
    """A process of a shared training that has ended while others go on; they cannot without it."""


class TargetError(VqcError):
    """A limit in bytes, or a target in bpp, dB or SSIMULACRA 2, that a picture's file reaches at no quality."""


class VqcWarning(UserWarning):
    """Something that a .vqc file does not keep, such as comments, or a quality that a limit has lowered."""
