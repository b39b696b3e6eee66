"""Reads a QR of version 6, level M, by ISO/IEC 18004: what a scanner does with one that has no damage."""

SIZE = 41
LETTERS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ $%*+-./:"
BLOCKS, DATA_CODEWORDS = 4, 108
MASKS = (
    lambda y, x: (y + x) % 2 == 0,
    lambda y, _: y % 2 == 0,
    lambda _, x: x % 3 == 0,
    lambda y, x: (y + x) % 3 == 0,
    lambda y, x: (y // 2 + x // 3) % 2 == 0,
    lambda y, x: (y * x) % 2 + (y * x) % 3 == 0,
    lambda y, x: ((y * x) % 2 + (y * x) % 3) % 2 == 0,
    lambda y, x: ((y + x) % 2 + (y * x) % 3) % 2 == 0,
)


def read_qr(matrix) -> str:
    """Give the alphanumeric text of a matrix of 41 x 41 modules, 1 is dark."""
    assert [len(row) for row in matrix] == [SIZE] * SIZE
    form = int("".join(str(matrix[8][x]) for x in range(5)), 2) ^ 0b10101
    assert form >> 3 == 0, "the level is not M"
    mask = MASKS[form & 7]
    bits = [matrix[y][x] ^ mask(y, x) for y, x in _way()]
    codewords = [int("".join(map(str, map(int, bits[at : at + 8]))), 2) for at in range(0, DATA_CODEWORDS * 8, 8)]
    ordered = [codewords[at] for block in range(BLOCKS) for at in range(block, DATA_CODEWORDS, BLOCKS)]
    return _text("".join(f"{codeword:08b}" for codeword in ordered))


def _way():
    """Give the modules that carry data, in the order in which they do: up and down in columns of two."""
    upwards = True
    for right in (*range(SIZE - 1, 6, -2), 5, 3, 1):
        for y in range(SIZE - 1, -1, -1) if upwards else range(SIZE):
            yield from ((y, x) for x in (right, right - 1) if not _is_pattern(y, x))
        upwards = not upwards


def _is_pattern(y, x) -> bool:
    finder = (y < 9 and x < 9) or (y < 9 and x >= SIZE - 8) or (y >= SIZE - 8 and x < 9)
    return finder or 6 in (y, x) or (32 <= y <= 36 and 32 <= x <= 36)


def _text(bits) -> str:
    assert bits[:4] == "0010", "the mode is not alphanumeric"
    length, at, text = int(bits[4:13], 2), 13, ""
    while len(text) + 1 < length:
        pair = int(bits[at : at + 11], 2)
        text, at = text + LETTERS[pair // 45] + LETTERS[pair % 45], at + 11
    return text if len(text) == length else text + LETTERS[int(bits[at : at + 6], 2)]
