"""FFmpeg's newest RTMP and RTSP (PyAV), on both sides of the relay.

Usage: enhanced_rtmp.py recode SOURCE TARGET VIDEO AUDIO    plays SOURCE, encodes it anew, publishes it to TARGET until SOURCE ends
       enhanced_rtmp.py pull SOURCE SECONDS FILE FOURCCS    decodes what SOURCE sends into FILE (FFV1, PCM) with its times; FOURCCS as in `hvc1,av01`

VIDEO and AUDIO are encoders, such as libx265 and libopus. Prints one JSON line: once the first packet went through; when all is
pulled, with the names of the codecs. Decode times that do not rise end it.
"""

import json
import sys
from fractions import Fraction

import av
import av.logging

av.logging.set_level(av.logging.WARNING)

# Live, small, with a key picture every second.
ENCODERS = {
    "libx265": {"preset": "ultrafast", "tune": "zerolatency", "x265-params": "keyint=30:min-keyint=30:bframes=0:log-level=error"},
    # Its faster presets show blocks of an older picture now and then, also without a relay between.
    "libsvtav1": {"preset": "8", "crf": "15", "g": "30", "svtav1-params": "pred-struct=1"},
    "libvpx-vp9": {"deadline": "realtime", "cpu-used": "8", "g": "30", "lag-in-frames": "0"},
}


def say(event):
    print(json.dumps({"event": event}), flush=True)


def recode(source, target, video_encoder, audio_encoder):
    incoming = av.open(source)
    by_rtsp = target.startswith("rtsp")
    options = {"rtsp_transport": "tcp", "strict": "experimental"} if by_rtsp else {"flush_packets": "1"}
    outgoing = av.open(target, "w", format="rtsp" if by_rtsp else "flv", options=options)
    picture, sound = incoming.streams.video[0], incoming.streams.audio[0]
    video = outgoing.add_stream(video_encoder, rate=30, options=ENCODERS[video_encoder])
    video.width, video.height, video.pix_fmt = picture.width, picture.height, "yuv420p"
    # SVT-AV1 takes no bit rate for low delay.
    video.bit_rate = 0 if video_encoder == "libsvtav1" else 800_000
    video.codec_context.time_base = Fraction(1, 1000)
    audio = outgoing.add_stream(audio_encoder, rate=48_000, layout="mono")
    audio.bit_rate = 64_000
    resampler = av.AudioResampler(format=audio.codec_context.format, layout="mono", rate=48_000)
    fifo, origin, said = av.AudioFifo(), None, False
    for packet in incoming.demux(picture, sound):
        for frame in packet.decode():
            seconds = frame.pts * frame.time_base
            origin = seconds if origin is None else origin
            if isinstance(frame, av.VideoFrame):
                frame.pts, frame.time_base = round((seconds - origin) * 1000), Fraction(1, 1000)
                frame.pict_type = av.video.frame.PictureType.NONE
                outgoing.mux(video.encode(frame))
                continue
            for piece in resampler.resample(frame):
                if fifo.samples == 0:
                    at = max(0, round((seconds - origin) * 48_000))
                piece.pts = None
                fifo.write(piece)
            size = audio.codec_context.frame_size or 960
            while fifo.samples >= size:
                piece = fifo.read(size)
                piece.pts, piece.time_base = at, Fraction(1, 48_000)
                at += size
                outgoing.mux(audio.encode(piece))
        if not said:
            said = True
            say("publishing")
    outgoing.close()


def pull(source, seconds, file, four_ccs):
    ways = {"rtmp": {"rtmp_enhanced_codecs": four_ccs}, "rtsp": {"rtsp_transport": "tcp"}}
    incoming = av.open(source, options=ways.get(source[:4], {}))
    outgoing = av.open(file, "w")
    picture, sound = incoming.streams.video[0], incoming.streams.audio[0]
    video, audio = None, outgoing.add_stream("pcm_s16le", rate=48_000, layout="mono")
    resampler = av.AudioResampler(format="s16", layout="mono", rate=48_000)
    first, last, waiting = None, {}, []
    for packet in incoming.demux(picture, sound):
        if packet.dts is None:
            # By RTSP the first has no time, and others need it.
            if packet.size:
                packet.decode()
            continue
        before = last.get(packet.stream.index)
        if before is not None and packet.dts <= before:
            raise SystemExit(f"stream {packet.stream.index}: DTS {packet.dts} after {before}")
        last[packet.stream.index] = packet.dts
        seconds_in = float(packet.dts * packet.time_base)
        first = seconds_in if first is None else first
        if seconds_in - first > float(seconds):
            break
        for frame in packet.decode():
            if frame.pts is None:
                continue
            if isinstance(frame, av.VideoFrame):
                if video is None:
                    video = outgoing.add_stream("ffv1", rate=30)
                    video.width, video.height, video.pix_fmt = frame.width, frame.height, "yuv420p"
                    video.codec_context.time_base = Fraction(1, 1000)
                frame.pts, frame.time_base = round(frame.pts * frame.time_base * 1000), Fraction(1, 1000)
                frame.pict_type = av.video.frame.PictureType.NONE
                waiting += video.encode(frame)
            else:
                for piece in resampler.resample(frame):
                    waiting += audio.encode(piece)
        # The header is written with the first packet: both streams have to be there by then.
        if video is not None:
            outgoing.mux(waiting)
            waiting = []
    outgoing.close()
    print(json.dumps({"event": "pulled", "video": picture.codec_context.codec.canonical_name, "audio": sound.codec_context.codec.canonical_name}), flush=True)


{"recode": recode, "pull": pull}[sys.argv[1]](*sys.argv[2:])
