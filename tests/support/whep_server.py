"""A WHEP server of another stack (aiortc), to read from: the clock card and beeps of whip_client.py, to each reader from the start.

Usage: whep_server.py [--bearer TOKEN] [--stream N] [--silent]

--silent leaves the sound out. Prints one JSON line per event on standard output, the first with the URL it serves:
  {"event": "ready", "url": …}   {"event": "offer", "video": [codec, …], "directions": […]}   {"event": "delete"}
"""

import argparse
import asyncio
import json
import time
import uuid

from aiohttp import web
from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from aiortc.sdp import SessionDescription
from whip_client import FPS, RATE, SAMPLES, Paced, picture, sound


def say(**event):
    print(json.dumps(event), flush=True)


class Server:
    def __init__(self, bearer, stream, silent, prefix=""):
        self.bearer, self.stream, self.silent, self.prefix = bearer, stream, silent, prefix
        self.sessions = {}

    def routes(self, app):
        app.router.add_post("/{path:.*}/whep", self.post)
        app.router.add_delete("/{path:.*}/whep/{key}", self.delete)

    def refused(self, request):
        if self.bearer and request.headers.get("Authorization") != f"Bearer {self.bearer}":
            return web.Response(status=401)
        return None

    async def post(self, request):
        refusal = self.refused(request)
        if refusal:
            return refusal
        text = await request.text()
        sdp = SessionDescription.parse(text)
        codecs = [c.mimeType for m in sdp.media if m.kind == "video" for c in m.rtp.codecs]
        say(event=self.prefix + "offer", video=codecs, directions=[m.direction for m in sdp.media])
        peer = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        key = uuid.uuid4().hex
        self.sessions[key] = peer
        origin, stream = time.monotonic() + 1, self.stream
        peer.addTrack(Paced("video", origin, 1 / FPS, lambda count: picture(count, stream)))
        if not self.silent:
            peer.addTrack(Paced("audio", origin, SAMPLES / RATE, sound))
        await peer.setRemoteDescription(RTCSessionDescription(text, "offer"))
        await peer.setLocalDescription(await peer.createAnswer())
        headers = {"Location": f"{request.path}/{key}", "ETag": f'"{key[:8]}"'}
        return web.Response(
            status=201, text=peer.localDescription.sdp, content_type="application/sdp", headers=headers
        )

    async def delete(self, request):
        refusal = self.refused(request)
        if refusal:
            return refusal
        peer = self.sessions.pop(request.match_info["key"], None)
        if not peer:
            return web.Response(status=404)
        say(event=self.prefix + "delete")
        await peer.close()
        return web.Response(status=200)


async def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--bearer")
    parser.add_argument("--stream", type=int, default=8)
    parser.add_argument("--silent", action="store_true")
    options = parser.parse_args()
    app = web.Application()
    Server(options.bearer, options.stream, options.silent).routes(app)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = site._server.sockets[0].getsockname()[1]
    say(event="ready", url=f"http://127.0.0.1:{port}/cam/whep")
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main())
