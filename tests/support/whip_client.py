"""A WHIP publisher of another stack (aiortc): sends the clock card and the beeps, drawn and sounded here.

Usage: whip_client.py ENDPOINT [--bearer TOKEN] [--seconds N] [--stream ID] [--codec video/VP8] [--sound audio/PCMU]

Prints one JSON line per event: {"event": "created", "location": …, "answer": …}, {"event": "state", "state": …},
{"event": "deleted", "status": …}.
"""

import argparse
import array
import asyncio
import binascii
import fractions
import json
import math
import time
from urllib.parse import urljoin

import aiohttp
from aiortc import MediaStreamTrack, RTCPeerConnection, RTCRtpSender, RTCSessionDescription
from av import AudioFrame, VideoFrame

FPS, RATE, SAMPLES = 30, 48_000, 960
WIDTH, HEIGHT = 640, 360
COLUMNS, ROWS, MAGIC = 16, 7, 0xA7


def say(**event):
    print(json.dumps(event), flush=True)


def card(frame, beep, stream):
    """The luma plane: 16 by 7 cells over the top two thirds, most significant bit first."""
    now = time.monotonic_ns() // 1000
    data = bytes([MAGIC]) + now.to_bytes(6, "big") + frame.to_bytes(3, "big") + bytes([beep, stream])
    data += binascii.crc_hqx(data, 0xFFFF).to_bytes(2, "big")
    bits = int.from_bytes(data, "big")
    high, luma = HEIGHT * 2 // 3, bytearray(b"\x80" * (WIDTH * HEIGHT))
    for row in range(ROWS):
        line = bytearray()
        for column in range(COLUMNS):
            bit = bits >> (COLUMNS * ROWS - 1 - row * COLUMNS - column) & 1
            line += (b"\xeb" if bit else b"\x10") * ((column + 1) * WIDTH // COLUMNS - len(line))
        for y in range(row * high // ROWS, (row + 1) * high // ROWS):
            luma[y * WIDTH : (y + 1) * WIDTH] = line
    return bytes(luma)


def tone(sample):
    """One sample: 1 kHz at half scale for 60, 90, 120 or 150 ms at every whole second from the first on."""
    second, at = divmod(sample, RATE)
    if second == 0 or at >= (60, 90, 120, 150)[second % 4] * RATE // 1000:
        return 0
    return round(16384 * math.sin(2 * math.pi * 1000 * at / RATE))


def into(plane, data, width):
    """Fills a plane whose lines may be longer than the picture."""
    stride = plane.line_size
    plane.update(b"".join(data[i : i + width].ljust(stride, b"\0") for i in range(0, len(data), width)))


class Paced(MediaStreamTrack):
    """Gives one frame per period, from an origin that both tracks share."""

    def __init__(self, kind, origin, period, make):
        super().__init__()
        self.kind, self.origin, self.period, self.make, self.count = kind, origin, period, make, 0

    async def recv(self):
        await asyncio.sleep(self.origin + self.count * self.period - time.monotonic())
        frame = self.make(self.count)
        self.count += 1
        return frame


def picture(count, stream):
    frame = VideoFrame(WIDTH, HEIGHT, "yuv420p")
    into(frame.planes[0], card(count, int(count > 0 and count % FPS == 0), stream), WIDTH)
    for plane in frame.planes[1:]:
        into(plane, b"\x80" * (WIDTH // 2 * (HEIGHT // 2)), WIDTH // 2)
    frame.pts, frame.time_base = count * 90_000 // FPS, fractions.Fraction(1, 90_000)
    return frame


def sound(count):
    frame = AudioFrame("s16", "mono", SAMPLES)
    samples = array.array("h", (tone(n) for n in range(count * SAMPLES, (count + 1) * SAMPLES)))
    frame.planes[0].update(samples.tobytes().ljust(frame.planes[0].buffer_size, b"\0"))
    frame.sample_rate, frame.pts, frame.time_base = RATE, count * SAMPLES, fractions.Fraction(1, RATE)
    return frame


async def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("endpoint")
    parser.add_argument("--bearer")
    parser.add_argument("--seconds", type=float, default=3600)
    parser.add_argument("--stream", type=int, default=8)
    parser.add_argument("--codec", help="the picture's, alone")
    parser.add_argument("--sound", help="the sound's codec, alone")
    options = parser.parse_args()
    headers = {"Authorization": f"Bearer {options.bearer}"} if options.bearer else {}
    peer = RTCPeerConnection()

    @peer.on("connectionstatechange")
    def changed():
        say(event="state", state=peer.connectionState)

    # Where nothing is said, the default order of codecs: VP8 stands before H.264 in the offer.
    origin = time.monotonic() + 1
    audio = peer.addTransceiver(Paced("audio", origin, SAMPLES / RATE, sound), direction="sendonly")
    video = peer.addTransceiver(
        Paced("video", origin, 1 / FPS, lambda count: picture(count, options.stream)), direction="sendonly"
    )
    for transceiver, only in [(video, options.codec), (audio, options.sound)]:
        if only:
            codecs = RTCRtpSender.getCapabilities(transceiver.kind).codecs
            transceiver.setCodecPreferences([codec for codec in codecs if codec.mimeType == only])
    await peer.setLocalDescription(await peer.createOffer())
    async with aiohttp.ClientSession(headers=headers) as http:
        body = {"data": peer.localDescription.sdp, "headers": {"Content-Type": "application/sdp"}}
        async with http.post(options.endpoint, **body) as response:
            answer = await response.text()
            if response.status != 201:
                raise SystemExit(f"{response.status} {answer}")
            location = urljoin(str(response.url), response.headers["Location"])
        say(event="created", location=location, answer=answer)
        await peer.setRemoteDescription(RTCSessionDescription(answer, "answer"))
        await asyncio.sleep(options.seconds)
        async with http.delete(location) as response:
            say(event="deleted", status=response.status)
    await peer.close()


if __name__ == "__main__":
    asyncio.run(main())
