"""Part of the reference decoder: reading bytes from front to back, FORMAT.md section 1."""

from __future__ import annotations

from reference_rans import DecodeError, require


class Cursor:
    """Reads bytes from front to back and refuses to pass the end."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.position = 0

    @property
    def left(self) -> int:
        """Bytes not read yet."""
        return len(self.data) - self.position

    def take(self, count: int, name: str, cause: str) -> bytes:
        """The next `count` bytes."""
        require(count <= self.left, cause, f"The file ends inside {name}.")
        self.position += count
        return self.data[self.position - count : self.position]

    def byte(self, name: str, cause: str) -> int:
        """The next byte."""
        return self.take(1, name, cause)[0]

    def varint(self, name: str, cause: str) -> int:
        """An unsigned LEB128 number of at most five bytes in its shortest form."""
        value = 0
        for position in range(5):
            byte = self.byte(name, cause)
            value |= (byte & 0x7F) << (7 * position)
            if byte < 0x80:
                require(byte != 0 or position == 0, cause, f"The number {name} is not in its shortest form.")
                return value
        raise DecodeError(cause, f"The number {name} is longer than 5 bytes.")

    def number(self, name: str, low: int, high: int) -> int:
        """A varint of the header that must lie in low..high."""
        return in_range(name, self.varint(name, "header"), low, high)


def in_range(name: str, value: int, low: int, high: int) -> int:
    """`value` if it lies in low..high, otherwise a fault of the header."""
    require(low <= value <= high, "header", f"The header says {name} = {value}, which is not in {low}..{high}.")
    return value
