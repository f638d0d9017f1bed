"""Files for the checks to send: small ones that are given, large ones that are made while they are read."""

import hashlib
import pathlib
import random

KIB, MIB = 1024, 1024 * 1024
PICTURE = pathlib.Path(__file__).resolve().parent.parent / "events" / "picture.png"


class Text:
    """Content that is given."""

    def __init__(self, text):
        self.text, self.size = text, len(text)

    def chunks(self):
        if self.text:
            yield self.text


class Noise:
    """`size` bytes that begin as a PNG does and go on at random, made while they are read."""

    def __init__(self, size):
        self.size = size
        self.head = PICTURE.read_bytes()
        self.block = random.Random(size).randbytes(256 * KIB)

    def chunks(self):
        left, number = self.size, 0
        while left:
            # The number makes every block another one: parts in a wrong order would show.
            chunk = ((number.to_bytes(8, "big") if number else self.head) + self.block)[:left]
            yield chunk
            left -= len(chunk)
            number += 1


def sha256(chunks):
    total = hashlib.sha256()
    for chunk in chunks:
        total.update(chunk)
    return total.hexdigest()
