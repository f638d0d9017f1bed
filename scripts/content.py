"""Test files: small ones held in memory, large ones generated while they are read."""

import hashlib
import pathlib
import random

KIB, MIB = 1024, 1024 * 1024
PICTURE = pathlib.Path(__file__).resolve().parent.parent / "events" / "picture.png"


class Text:
    """Content held in memory."""

    def __init__(self, text):
        self.text, self.size = text, len(text)

    def chunks(self):
        if self.text:
            yield self.text


class Noise:
    """`size` bytes: a PNG header, then random data generated while it is read."""

    def __init__(self, size):
        self.size = size
        self.head = PICTURE.read_bytes()
        self.block = random.Random(size).randbytes(256 * KIB)

    def chunks(self):
        left, number = self.size, 0
        while left:
            # Numbered, so that no two blocks are equal and parts in the wrong order are noticed.
            chunk = ((number.to_bytes(8, "big") if number else self.head) + self.block)[:left]
            yield chunk
            left -= len(chunk)
            number += 1


def sha256(chunks):
    total = hashlib.sha256()
    for chunk in chunks:
        total.update(chunk)
    return total.hexdigest()
