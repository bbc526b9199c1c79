"""A WHIP server of another stack (aiortc), to publish to.

Usage: whip_server.py [--port N] [--bearer TOKEN] [--basic USER:PASSWORD] [--link LINK]... [--link-late] [--redirect N]
                      [--hang] [--slow SECONDS] [--no-trickle] [--clock] [--record FOLDER] [--whep whole|silent]

Prints one JSON line per event on standard output, the first with the URL it serves:
  {"event": "ready", "url": …}
  {"event": "offer", "path": …, "candidates": N, "video": [codec, …], "audio": […], "authorization": scheme}
  {"event": "patch", "candidates": N, "if_match": …}      {"event": "state", "state": "connected"}
  {"event": "video", "frames": N, "width": W, "height": H, "time": seconds, "clock": microseconds or null, "late": ms or null}
  {"event": "audio", "frames": N, "time": seconds, "tone": level of 1 kHz, 0 to 1}      {"event": "delete"}
`time` is the frame's own time, from the track's first. With --clock the synthetic clock is read
from every picture: 16 by 7 cells over the top two thirds, CRC checked. With --record the luma of every picture
is appended to FOLDER/pictures.y, line by line without padding, and the first channel to FOLDER/sound.s16 at 48 kHz. With --whep whep_server.py's stream can be read at the same address, its events named whep-….
"""

import argparse
import array
import asyncio
import base64
import binascii
import cmath
import json
import logging
import sys
import time
import uuid

import av
from aiohttp import web
from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from aiortc.sdp import SessionDescription, candidate_from_sdp

import whep_server

COLUMNS, ROWS, MAGIC = 16, 7, 0xA7


def say(**event):
    print(json.dumps(event), flush=True)


def read_clock(frame):
    """Microseconds drawn into the picture, or None. Pictures come as planar YUV, so the first plane is the luma."""
    plane = frame.planes[0]
    luma, stride = bytes(plane), plane.line_size
    high = frame.height * 2 // 3
    value = 0
    for row in range(ROWS):
        for column in range(COLUMNS):
            y = (2 * row + 1) * high // (2 * ROWS)
            x = (2 * column + 1) * frame.width // (2 * COLUMNS)
            cell = b"".join(luma[line * stride + x - 1 : line * stride + x + 2] for line in (y - 1, y, y + 1))
            value = value << 1 | (sum(cell) > 125 * len(cell))
    data = value.to_bytes(COLUMNS * ROWS // 8, "big")
    if data[0] != MAGIC or binascii.crc_hqx(data[:12], 0xFFFF) != int.from_bytes(data[12:14], "big"):
        return None
    return int.from_bytes(data[1:7], "big")


def tone_level(frame):
    """How much of the sound is a 1 kHz tone, as a part of full scale. Sound comes as interleaved 16-bit samples."""
    samples = array.array("h", bytes(frame.planes[0])[: frame.samples * len(frame.layout.channels) * 2])
    first = samples[:: len(frame.layout.channels)]
    step = -2j * cmath.pi * 1000 / frame.sample_rate
    level = sum(s * cmath.exp(step * i) for i, s in enumerate(first)) / max(len(first), 1)
    return 2 * abs(level) / 32768


def luma_of(frame):
    """The luma without the padding at the end of each line."""
    plane = frame.planes[0]
    data, stride = bytes(plane), plane.line_size
    if stride == frame.width:
        return data[: frame.width * frame.height]
    return b"".join(data[line * stride : line * stride + frame.width] for line in range(frame.height))


def first_channel(frame):
    channels = len(frame.layout.channels)
    return array.array("h", bytes(frame.planes[0])[: frame.samples * channels * 2])[::channels].tobytes()


class Server:
    def __init__(self, options):
        self.options = options
        self.sessions = {}
        self.record = {}
        if options.record:
            self.record = {name: open(f"{options.record}/{name}", "wb") for name in ("pictures.y", "sound.s16")}

    def keep(self, name, data):
        if name in self.record:
            self.record[name].write(data)
            self.record[name].flush()

    def refused(self, request):
        """The refusal for wrong credentials, or None."""
        wanted = []
        if self.options.bearer:
            wanted.append(f"Bearer {self.options.bearer}")
        if self.options.basic:
            wanted.append("Basic " + base64.b64encode(self.options.basic.encode()).decode())
        if wanted and request.headers.get("Authorization") not in wanted:
            return web.Response(status=401, headers={"WWW-Authenticate": 'Bearer realm="test"'})
        return None

    def links(self, response, late):
        if late == self.options.link_late:
            for link in self.options.link:
                response.headers.add("Link", link)
        return response

    async def options_(self, request):
        return self.links(web.Response(status=204, headers={"Accept-Post": "application/sdp"}), late=False)

    async def post(self, request):
        if self.options.hang:
            await asyncio.sleep(3600)
        hop = int(request.query.get("hop", "0"))
        if hop < self.options.redirect:
            raise web.HTTPTemporaryRedirect(request.path + f"?hop={hop + 1}")
        refusal = self.refused(request)
        if refusal:
            return refusal
        if request.content_type != "application/sdp":
            return web.Response(status=415)
        text = await request.text()
        sdp = SessionDescription.parse(text)
        codecs = {m.kind: [c.mimeType for c in m.rtp.codecs] for m in sdp.media}
        say(
            event="offer",
            path=request.path,
            candidates=sum(len(m.ice_candidates) for m in sdp.media),
            video=codecs.get("video", []),
            audio=codecs.get("audio", []),
            authorization=request.headers.get("Authorization", "").split(" ")[0],
        )
        peer = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        key = uuid.uuid4().hex
        self.sessions[key] = (peer, [])

        @peer.on("connectionstatechange")
        def changed():
            say(event="state", state=peer.connectionState)

        @peer.on("track")
        def track(track):
            reader = self.watch(track) if track.kind == "video" else self.listen(track)
            self.sessions[key][1].append(asyncio.ensure_future(reader))

        await peer.setRemoteDescription(RTCSessionDescription(text, "offer"))
        await peer.setLocalDescription(await peer.createAnswer())
        await asyncio.sleep(self.options.slow)
        headers = {"Location": f"{request.path}/{key}", "ETag": f'"{key[:8]}"'}
        if not self.options.no_trickle:
            headers["Accept-Patch"] = "application/trickle-ice-sdpfrag"
        answer = web.Response(
            status=201, text=peer.localDescription.sdp, content_type="application/sdp", headers=headers
        )
        return self.links(answer, late=self.options.link_late)

    async def patch(self, request):
        found = self.sessions.get(request.match_info["key"])
        if not found:
            return web.Response(status=404)
        if self.options.no_trickle:
            return web.Response(status=405)
        if request.content_type != "application/trickle-ice-sdpfrag":
            return web.Response(status=415)
        tag = request.headers.get("If-Match")
        if tag != f'"{request.match_info["key"][:8]}"':
            return web.Response(status=412)
        mid, count = None, 0
        for line in (await request.text()).splitlines():
            if line.startswith("a=mid:"):
                mid = line[6:]
            if line.startswith("a=candidate:"):
                candidate = candidate_from_sdp(line[12:])
                candidate.sdpMid = mid
                await found[0].addIceCandidate(candidate)
                count += 1
        say(event="patch", candidates=count, if_match=tag)
        return web.Response(status=204)

    async def delete(self, request):
        refusal = self.refused(request)
        if refusal:
            return refusal
        peer, readers = self.sessions.pop(request.match_info["key"], (None, []))
        if not peer:
            return web.Response(status=404)
        for reader in readers:
            reader.cancel()
        say(event="delete")
        await peer.close()
        return web.Response(status=200)

    async def watch(self, track):
        frames = 0
        while True:
            try:
                frame = await track.recv()
            except Exception:
                say(event="end", kind="video", frames=frames)
                return
            frames += 1
            if self.record:
                self.keep("pictures.y", luma_of(frame))
            clock = late = None
            if self.options.clock:
                clock = read_clock(frame)
                late = None if clock is None else round(time.monotonic() * 1000 - clock / 1000, 1)
            at = float(frame.pts * frame.time_base)
            say(
                event="video",
                frames=frames,
                width=frame.width,
                height=frame.height,
                time=round(at, 4),
                clock=clock,
                late=late,
            )

    async def listen(self, track):
        frames = 0
        while True:
            try:
                frame = await track.recv()
            except Exception:
                say(event="end", kind="audio", frames=frames)
                return
            frames += 1
            if self.record:
                self.keep("sound.s16", first_channel(frame))
            at = float(frame.pts * frame.time_base)
            say(event="audio", frames=frames, time=round(at, 4), tone=round(tone_level(frame), 4))


async def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--bearer")
    parser.add_argument("--basic")
    parser.add_argument("--link", action="append", default=[])
    parser.add_argument("--link-late", action="store_true", help="name ICE servers in the answer only")
    parser.add_argument("--redirect", type=int, default=0, help="so many redirects before the endpoint")
    parser.add_argument("--hang", action="store_true", help="never answer an offer")
    parser.add_argument("--slow", type=float, default=0, help="answer so many seconds late")
    parser.add_argument("--no-trickle", action="store_true")
    parser.add_argument("--clock", action="store_true")
    parser.add_argument("--whep", choices=["whole", "silent"])
    parser.add_argument("--record", help="a folder for decoded pictures and sound")
    options = parser.parse_args()
    logging.basicConfig(stream=sys.stderr, level=logging.WARNING)
    av.logging.set_level(av.logging.PANIC)

    server = Server(options)
    app = web.Application()
    app.router.add_route("OPTIONS", "/{path:.*}", server.options_)
    app.router.add_post("/{path:.*}/whip", server.post)
    app.router.add_patch("/{path:.*}/whip/{key}", server.patch)
    app.router.add_delete("/{path:.*}/whip/{key}", server.delete)
    if options.whep:
        whep_server.Server(None, 8, options.whep == "silent", "whep-").routes(app)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "0.0.0.0", options.port)
    await site.start()
    port = site._server.sockets[0].getsockname()[1]
    say(event="ready", url=f"http://127.0.0.1:{port}/doctorStream/whip")
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main())
