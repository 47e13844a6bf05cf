"""A moving piece of a file, for readers that look ahead and seldom go back."""

from typing import IO

READ_BYTES = 2**17
"""At a time. Memory for much more is fetched from the system anew, which costs a tenth."""


class Window:
    """A moving piece of a file."""

    def __init__(self, stream: IO[bytes]) -> None:
        self.stream = stream
        stream.seek(0)
        self._start = 0
        self._data = b""

    def at(self, position: int, size: int) -> bytes:
        """`size` bytes from there, fewer only at the end of the file."""
        data, first = self.around(position, size)
        return data[first : first + size]

    def around(self, position: int, size: int) -> tuple[bytes, int]:
        """The same without a copy: bytes that hold them, and where they begin in these."""
        first = position - self._start
        if first < 0 or first + size > len(self._data):
            self._read(position, size)
            first = 0
        return self._data, first

    def find(self, word: bytes, position: int, end: int | None) -> int:
        """The first place of a word from there on and before `end`, or -1."""
        while end is None or position < end:
            piece = self.at(position, READ_BYTES)
            found = piece.find(word)
            if found >= 0:
                return position + found if end is None or position + found < end else -1
            if len(piece) < READ_BYTES:
                return -1
            position += len(piece) - len(word) + 1
        return -1

    def _read(self, position: int, size: int) -> None:
        first = position - self._start
        if 0 <= first <= len(self._data):
            pieces = [self._data[first:]]
        else:
            pieces = []
            self.stream.seek(position)
        missing = size - sum(map(len, pieces))
        while missing > 0 and (piece := self.stream.read(max(missing, READ_BYTES))):
            pieces.append(piece)
            missing -= len(piece)
        self._start, self._data = position, b"".join(pieces)
