#!/usr/bin/env python3
"""Draws every icon file from the two SVG sources. Needs Chromium (drawing) and nothing else.

    icons/make.py [CHROMIUM]

`icon.svg` serves from 64 pixels on, `icon-small.svg` below. PNG files are RGBA; the .ico and .icns hold such PNGs.
"""
import pathlib
import struct
import subprocess
import sys
import tempfile
import zlib

HERE = pathlib.Path(__file__).resolve().parent
CHROMIUM = sys.argv[1] if len(sys.argv) > 1 else "chromium"
SMALL_BELOW = 64
# Chromium refuses windows smaller than this; the picture is drawn in their corner and cut out.
LEAST_WINDOW = 600


def draw(size: int) -> bytes:
    """A PNG of `size` by `size` pixels, RGBA, transparent outside the tile."""
    source = HERE / ("icon-small.svg" if size < SMALL_BELOW else "icon.svg")
    with tempfile.TemporaryDirectory() as folder:
        page = pathlib.Path(folder) / "page.html"
        shot = pathlib.Path(folder) / "shot.png"
        page.write_text(
            f'<!doctype html><style>body{{margin:0}}img{{display:block;width:{size}px;height:{size}px}}</style><img src="{source.as_uri()}">'
        )
        window = max(size, LEAST_WINDOW)
        subprocess.run(
            [CHROMIUM, "--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--allow-file-access-from-files",
             "--force-device-scale-factor=1", "--default-background-color=00000000", f"--user-data-dir={folder}/profile",
             f"--window-size={window},{window}", f"--screenshot={shot}", page.as_uri()],
            check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )
        width, rows = read_png(shot.read_bytes())
        assert width >= size and len(rows) >= size
        return write_png(size, [row[: size * 4] for row in rows[:size]])


def read_png(data: bytes) -> tuple[int, list[bytes]]:
    """Width and RGBA rows of an 8-bit PNG without interlace."""
    at, packed, width, height, kind = 8, b"", 0, 0, 0
    while at < len(data):
        length, name = struct.unpack(">I4s", data[at : at + 8])
        body = data[at + 8 : at + 8 + length]
        if name == b"IHDR":
            width, height, depth, kind, _, _, interlace = struct.unpack(">IIBBBBB", body)
            assert depth == 8 and kind in (2, 6) and interlace == 0
        elif name == b"IDAT":
            packed += body
        at += 12 + length
    step = 4 if kind == 6 else 3
    raw, stride, rows, above = zlib.decompress(packed), width * step, [], bytes(width * step)
    for y in range(height):
        start = y * (stride + 1)
        row = bytearray(raw[start + 1 : start + 1 + stride])
        unfilter(raw[start], row, above, step)
        above = bytes(row)
        rows.append(above if step == 4 else b"".join(above[i : i + 3] + b"\xff" for i in range(0, stride, 3)))
    return width, rows


def unfilter(kind: int, row: bytearray, above: bytes, step: int) -> None:
    for i in range(len(row)):
        left = row[i - step] if i >= step else 0
        corner = above[i - step] if i >= step else 0
        up = above[i]
        if kind == 1:
            guess = left
        elif kind == 2:
            guess = up
        elif kind == 3:
            guess = (left + up) // 2
        elif kind == 4:
            estimate = left + up - corner
            guess = min((left, up, corner), key=lambda v: abs(estimate - v))
        else:
            guess = 0
        row[i] = (row[i] + guess) & 0xFF


def write_png(size: int, rows: list[bytes]) -> bytes:
    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    header = struct.pack(">IIBBBBB", size, size, 8, 6, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"".join(b"\0" + r for r in rows), 9)) + chunk(b"IEND", b"")


def ico(pictures: dict[int, bytes]) -> bytes:
    offset, entries, bodies = 6 + 16 * len(pictures), b"", b""
    for size, png in pictures.items():
        entries += struct.pack("<BBBBHHII", size % 256, size % 256, 0, 0, 1, 32, len(png), offset + len(bodies))
        bodies += png
    return struct.pack("<HHH", 0, 1, len(pictures)) + entries + bodies


def icns(pictures: dict[bytes, bytes]) -> bytes:
    body = b"".join(kind + struct.pack(">I", len(png) + 8) + png for kind, png in pictures.items())
    return b"icns" + struct.pack(">I", len(body) + 8) + body


def main() -> None:
    drawn = {size: draw(size) for size in (16, 24, 32, 48, 64, 128, 256, 512, 1024)}
    files = {"32x32.png": 32, "64x64.png": 64, "128x128.png": 128, "128x128@2x.png": 256, "256x256.png": 256, "512x512.png": 512, "icon.png": 512}
    for name, size in files.items():
        (HERE / name).write_bytes(drawn[size])
    (HERE / "icon.ico").write_bytes(ico({size: drawn[size] for size in (16, 24, 32, 48, 64, 256)}))
    kinds = {b"ic11": 32, b"ic12": 64, b"ic07": 128, b"ic13": 256, b"ic08": 256, b"ic14": 512, b"ic09": 512, b"ic10": 1024}
    (HERE / "icon.icns").write_bytes(icns({kind: drawn[size] for kind, size in kinds.items()}))


if __name__ == "__main__":
    main()
