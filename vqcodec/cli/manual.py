"""The man page, made of what --help says of every command."""

from __future__ import annotations

from collections.abc import Iterator
from inspect import cleandoc

import click

_HEAD = """.TH VQC 1 "" "vqc" "User Commands"
.SH NAME
vqc \\- a learned image codec
.SH SYNOPSIS
.B vqc
.I COMMAND
.RI [ OPTION ]...\\&
.RI [ FILE ]...
.SH DESCRIPTION"""
_TAIL = """.SH EXIT STATUS
0 where all went well; 1 where a file could not be done, or is not as it was asked to be; 2 for wrong usage; 130 after
Ctrl\\-C. Errors are one sentence on stderr."""
_NO_WRAP = "\b"
"""A paragraph that begins with it keeps its lines: click's mark."""


def page(group: click.Group) -> str:
    """Return the man page of a group of commands, in the language of man(7)."""
    context = click.Context(group, info_name="vqc")
    lines = [_HEAD, *_paragraphs(group.help or ""), ".SH COMMANDS"]
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        lines += _section(command, click.Context(command, info_name=name, parent=context))
    return "\n".join([*lines, _TAIL]) + "\n"


def _section(command: click.Command, context: click.Context) -> Iterator[str]:
    yield f".SS {escaped(' '.join(['vqc', context.info_name or '', *command.collect_usage_pieces(context)]))}"
    yield from _paragraphs(command.help or "")
    for parameter in command.get_params(context):
        record = parameter.get_help_record(context)
        if record is not None and record[1]:
            yield f".TP\n.B {escaped(record[0])}\n{escaped(record[1])}"


def _paragraphs(text: str) -> Iterator[str]:
    for paragraph in cleandoc(text).split("\n\n"):
        lines = paragraph.splitlines()
        keep = lines[0].strip(" ") == _NO_WRAP
        yield ".PP"
        yield from [".nf", *map(escaped, lines[1:]), ".fi"] if keep else map(escaped, lines)


def escaped(line: str) -> str:
    """Return a line of text such that troff shows it as it is."""
    line = line.replace("\\", "\\e").replace("-", "\\-")
    return "\\&" + line if line.startswith((".", "'")) else line
