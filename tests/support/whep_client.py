"""A WHEP reader of another stack (aiortc): plays for a while and records what it decoded.

Usage: whep_client.py ENDPOINT FILE [--seconds N] [--only audio]

The recording's times are RTP times brought together by the sender reports, as any player does it. Prints one JSON line per
event: {"event": "created", "status": …, "answer": …}, {"event": "first", "after": SECONDS}, {"event": "recorded", …} with the
codecs that came, {"event": "deleted", "status": …}. With `--only`, it does not wait for the other track.
"""

import argparse
import asyncio
import fractions
import json
import time
from urllib.parse import urljoin

import aiohttp
import av
from aiortc import RTCPeerConnection, RTCSessionDescription
from aiortc.mediastreams import MediaStreamError
from aiortc.rtp import RtcpSrPacket

def say(**event):
    print(json.dumps(event), flush=True)


def watch_codec(receiver, codecs):
    """Keeps the codecs of the packets that come, such as video/VP8; packets sent again have none of their own."""
    handle = receiver._handle_rtp_packet

    async def watched(packet, arrival_time_ms):
        codec = receiver._RTCRtpReceiver__codecs.get(packet.payload_type)
        if codec and not codec.mimeType.endswith("/rtx") and codec.mimeType not in codecs:
            codecs.append(codec.mimeType)
        await handle(packet, arrival_time_ms=arrival_time_ms)

    receiver._handle_rtp_packet = watched


def watch_reports(receiver, reports):
    """Keeps the receiver's latest sender report: wall clock and RTP time of one instant."""
    handle = receiver._handle_rtcp_packet

    async def watched(packet):
        if isinstance(packet, RtcpSrPacket):
            reports.append((packet.sender_info.ntp_timestamp / 2**32, packet.sender_info.rtp_timestamp))
        await handle(packet)

    receiver._handle_rtcp_packet = watched


class Track:
    """One track's decoded frames and reports."""

    def __init__(self, track, receiver, began):
        self.track, self.receiver, self.began = track, receiver, began
        self.frames, self.reports, self.codecs = [], [], []
        watch_codec(receiver, self.codecs)
        watch_reports(receiver, self.reports)

    async def run(self):
        try:
            while True:
                frame = await self.track.recv()
                if not self.frames:
                    say(event="first", kind=self.track.kind, after=time.monotonic() - self.began)
                self.frames.append(frame)
        except MediaStreamError:
            pass

    def times(self):
        """Wall-clock time of every frame, by the last report."""
        rate, (ntp, rtp) = self.frames[0].time_base.denominator, self.reports[-1]
        # Frames count from the first packet's RTP time.
        origin = self.receiver._RTCRtpReceiver__timestamp_mapper._origin
        behind = (rtp - origin) & 0xFFFFFFFF
        return [ntp + (frame.pts - behind) / rate for frame in self.frames]


def record(file, tracks):
    timed = {t.track.kind: (t, t.times()) for t in tracks if t.frames and t.reports}
    zero = min(times[0] for _, times in timed.values())
    with av.open(file, "w", format="matroska") as out:
        streams = {}
        if "video" in timed:
            first = timed["video"][0].frames[0]
            video = out.add_stream("libx264", rate=30, options={"preset": "ultrafast", "crf": "12", "tune": "zerolatency"})
            video.width, video.height, video.pix_fmt = first.width, first.height, "yuv420p"
            video.codec_context.time_base = fractions.Fraction(1, 1000)
            streams["video"] = video
        if "audio" in timed:
            first = timed["audio"][0].frames[0]
            streams["audio"] = out.add_stream("pcm_s16le", rate=first.sample_rate, layout=first.layout.name)
        for kind, (track, times) in timed.items():
            rate, last = 1000 if kind == "video" else track.frames[0].sample_rate, -1
            for frame, at in zip(track.frames, times):
                frame.pts, frame.time_base = max(round((at - zero) * rate), last + 1), fractions.Fraction(1, rate)
                last = frame.pts
                out.mux(streams[kind].encode(frame))
            out.mux(streams[kind].encode(None))


async def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("endpoint")
    parser.add_argument("file")
    parser.add_argument("--seconds", type=float, default=8)
    parser.add_argument("--only")
    options = parser.parse_args()
    peer, tracks, tasks = RTCPeerConnection(), [], []
    began = time.monotonic()

    @peer.on("track")
    def added(track):
        receiver = next(t.receiver for t in peer.getTransceivers() if t.receiver.track is track)
        tracks.append(Track(track, receiver, began))
        tasks.append(asyncio.ensure_future(tracks[-1].run()))

    for kind in ("video", "audio"):
        peer.addTransceiver(kind, direction="recvonly")
    await peer.setLocalDescription(await peer.createOffer())
    async with aiohttp.ClientSession() as http:
        body = {"data": peer.localDescription.sdp, "headers": {"Content-Type": "application/sdp"}}
        async with http.post(options.endpoint, **body) as response:
            answer = await response.text()
            say(event="created", status=response.status, answer=answer)
            if response.status != 201:
                raise SystemExit(f"{response.status} {answer}")
            location = urljoin(str(response.url), response.headers["Location"])
        await peer.setRemoteDescription(RTCSessionDescription(answer, "answer"))
        wanted = [options.only] if options.only else ["video", "audio"]
        while not all(any(t.frames for t in tracks if t.track.kind == kind) for kind in wanted):
            await asyncio.sleep(0.02)
        await asyncio.sleep(options.seconds)
        async with http.delete(location) as response:
            say(event="deleted", status=response.status)
        async with http.delete(location) as response:
            say(event="again", status=response.status)
    rising = {t.track.kind: all(a.pts < b.pts for a, b in zip(t.frames, t.frames[1:])) for t in tracks}
    count = {t.track.kind: len(t.frames) for t in tracks}
    codecs = {t.track.kind: t.codecs for t in tracks}
    record(options.file, tracks)
    say(event="recorded", rising=rising, frames=count, codecs=codecs)
    await peer.close()


if __name__ == "__main__":
    asyncio.run(main())
