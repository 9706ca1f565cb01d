"""One picture of one colour as H.264 (Constrained Baseline, CAVLC), and pictures that repeat it: enough for a real video.

The first macroblock says the colour, as one coefficient for each plane; every other one is predicted from its neighbours
and has nothing to add. At ``QP`` a luma coefficient of one is one step of brightness, a chroma coefficient two steps.
"""

from __future__ import annotations

from dataclasses import dataclass

QP = 28
INITIAL_QP = 26
LEVEL = 40
"""4.0: up to 1920 x 1080."""
BLOCK = 16
MIDDLE = 128
FRAME_NUMBER_BITS = 8
NAL_SPS, NAL_PPS, NAL_IDR, NAL_REPEAT = 0x67, 0x68, 0x65, 0x41


@dataclass(frozen=True, slots=True)
class Colour:
    """Luma from 16 to 235, chroma from 16 to 240."""

    y: int
    cb: int
    cr: int


class _Bits:
    """Written one after the other, most significant first."""

    def __init__(self) -> None:
        self._pieces: list[str] = []

    def raw(self, bits: str) -> _Bits:
        self._pieces.append(bits)
        return self

    def fixed(self, value: int, width: int) -> _Bits:
        return self.raw(f"{value:0{width}b}")

    def unsigned(self, *values: int) -> _Bits:
        """Exp-Golomb."""
        for value in values:
            code = f"{value + 1:b}"
            self.raw("0" * (len(code) - 1) + code)
        return self

    def signed(self, value: int) -> _Bits:
        return self.unsigned(2 * value - 1 if value > 0 else -2 * value)

    def finished(self) -> bytes:
        """With the stop bit, up to a whole byte."""
        bits = "".join(self._pieces) + "1"
        bits += "0" * (-len(bits) % 8)
        return int(bits, 2).to_bytes(len(bits) // 8, "big")


def _unit(header: int, payload: bytes) -> bytes:
    """A NAL unit, in which no three bytes look like the start of another."""
    escaped = bytearray([header])
    zeros = 0
    for byte in payload:
        if zeros == 2 and byte <= 3:
            escaped.append(3)
            zeros = 0
        escaped.append(byte)
        zeros = zeros + 1 if byte == 0 else 0
    return bytes(escaped)


def sequence_parameters(width: int, height: int) -> bytes:
    """Even sizes; what goes beyond them, up to whole macroblocks, is cropped."""
    columns, rows = _blocks(width), _blocks(height)
    bits = _Bits().fixed(66, 8).fixed(0b11000000, 8).fixed(LEVEL, 8)
    bits.unsigned(0, FRAME_NUMBER_BITS - 4, 2, 1).raw("0").unsigned(columns - 1, rows - 1).raw("11")
    right, bottom = (columns * BLOCK - width) // 2, (rows * BLOCK - height) // 2
    bits.raw("1").unsigned(0, right, 0, bottom) if right or bottom else bits.raw("0")
    return _unit(NAL_SPS, bits.raw("0").finished())


def picture_parameters() -> bytes:
    bits = _Bits().unsigned(0, 0).raw("00").unsigned(0, 0, 0).raw("000").signed(0).signed(0).signed(0)
    return _unit(NAL_PPS, bits.raw("100").finished())


def picture(width: int, height: int, colour: Colour) -> bytes:
    """The whole picture."""
    bits = _Bits().unsigned(0, 7, 0).fixed(0, FRAME_NUMBER_BITS).unsigned(0).raw("00").signed(QP - INITIAL_QP)
    bits.unsigned(1)
    _coloured(bits, colour)
    # Intra 16x16 by the neighbours' mean, no chroma of its own, same QP, no coefficient.
    plain = "00100" + "1" + "1" + "1"
    bits.raw(plain * (_blocks(width) * _blocks(height) - 1))
    return _unit(NAL_IDR, bits.finished())


def repetition(width: int, height: int, number: int) -> bytes:
    """The picture before it once more. ``number`` counts from 1 after the whole picture."""
    bits = _Bits().unsigned(0, 5, 0).fixed(number % (1 << FRAME_NUMBER_BITS), FRAME_NUMBER_BITS).raw("000")
    bits.signed(0).unsigned(1).unsigned(_blocks(width) * _blocks(height))
    return _unit(NAL_REPEAT, bits.finished())


def _coloured(bits: _Bits, colour: Colour) -> None:
    bits.unsigned(7, 0).signed(0)
    _coefficient(bits, colour.y - MIDDLE, none="1", small="01", other="000101")
    for chroma in (colour.cb, colour.cr):
        _coefficient(bits, (chroma - MIDDLE) // 2, none="01", small="1", other="000111")


def _coefficient(bits: _Bits, level: int, *, none: str, small: str, other: str) -> None:
    """One coefficient in the first place, or none."""
    if level == 0:
        bits.raw(none)
    elif abs(level) == 1:
        bits.raw(small).raw("1" if level < 0 else "0").raw("1")
    else:
        _level(bits.raw(other), level)
        bits.raw("1")


def _level(bits: _Bits, level: int) -> None:
    """It is greater than 1 or less than -1, which the code counts from."""
    code = 2 * (abs(level) - 2) + (level < 0)
    if code < 14:
        bits.raw("0" * code + "1")
    elif code < 30:
        bits.raw("0" * 14 + "1").fixed(code - 14, 4)
    else:
        bits.raw("0" * 15 + "1").fixed(code - 30, 12)


def _blocks(side: int) -> int:
    return -(-side // BLOCK)
