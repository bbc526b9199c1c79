/**
 * The player: what the socket brings, onto the two canvases and the meters.
 *
 * Belongs here: which message goes where, and the reports back. Not here: layout of messages (`wire.ts`), decoding (`decoder.ts`), drawing (`painter.ts`).
 */
import { PictureDecoder, webCodecs, type Decoded } from './decoder';
import { Painter, type Drawable } from './painter';
import { selfTest } from './selftest';
import { PlayerSocket } from './socket';
import type { Incoming, MeterMessage, PictureMessage } from './wire';

export type { Screen, Size } from './painter';
export type { MeterMessage } from './wire';

/** What the screens need of a player; the canned one of `ipc.fake.ts` is another. */
export interface Player {
  readonly own: Painter;
  readonly remote: Painter;
  connect(url: string): void;
  /** Calls `listener` with each level, about 20 times a second; returns the way to stop. */
  onMeter(listener: (meter: MeterMessage) => void): () => void;
  close(): void;
}

export class SocketPlayer implements Player {
  readonly own = new Painter();
  readonly remote = new Painter();
  readonly #meters = new Set<(meter: MeterMessage) => void>();
  readonly #socket: PlayerSocket;
  readonly #decoder: PictureDecoder<VideoFrame>;
  #decodes: boolean | null = null;
  /** How high the own picture is drawn, as the shell was told last. */
  #ownHeight = 0;

  constructor() {
    this.#socket = new PlayerSocket({
      message: (message, receivedAt) => this.#take(message, receivedAt),
      open: () => {
        this.#ownHeight = 0;
        this.#reportSelfTest();
      },
      closed: () => this.#decoder.reset(),
    });
    this.#decoder = new PictureDecoder(webCodecs, {
      picture: (frame, about) => this.#showDecoded(frame, about),
      needKey: () => this.#socket.send({ type: 'needKey' }),
      unusable: () => {
        this.#decodes = false;
        this.#reportSelfTest();
      },
    });
    void selfTest().then((ok) => {
      this.#decodes = ok;
      this.#reportSelfTest();
    });
  }

  connect(url: string): void {
    this.#socket.connect(url);
  }

  onMeter(listener: (meter: MeterMessage) => void): () => void {
    this.#meters.add(listener);
    return () => this.#meters.delete(listener);
  }

  close(): void {
    this.#socket.close();
    this.#decoder.close();
    this.own.drop();
    this.remote.drop();
  }

  #reportSelfTest(): void {
    if (this.#decodes !== null) this.#socket.send({ type: 'selfTest', ok: this.#decodes });
  }

  /** The shell makes the own picture no larger than it is drawn. */
  #reportOwnHeight(): void {
    const pixels = this.own.height();
    if (pixels === this.#ownHeight) return;
    this.#ownHeight = pixels;
    this.#socket.send({ type: 'ownHeight', pixels });
  }

  #take(message: Incoming, receivedAt: number): void {
    switch (message.kind) {
      case 'unit':
        this.#decoder.push(message, receivedAt);
        break;
      case 'own':
        this.#showPlanes(this.own, message, receivedAt, false);
        this.#reportOwnHeight();
        break;
      case 'remote':
        this.#showPlanes(this.remote, message, receivedAt, true);
        break;
      case 'meter':
        for (const listener of this.#meters) listener(message);
        break;
    }
  }

  #showDecoded(frame: VideoFrame, about: Decoded): void {
    const { sequence, receivedAt, decodedAt } = about;
    this.remote.show(drawable(frame, false), sequence, () => {
      this.#socket.send({
        type: 'shown',
        sequence,
        decodeMs: decodedAt - receivedAt,
        displayMs: performance.now() - decodedAt,
      });
    });
  }

  #showPlanes(painter: Painter, message: PictureMessage, receivedAt: number, report: boolean): void {
    let frame: VideoFrame;
    try {
      frame = i420(message);
    } catch {
      return; // No `VideoFrame` here, or one that refuses these sides: the picture before it stays.
    }
    const decodedAt = performance.now();
    const { sequence } = message;
    painter.show(drawable(frame, message.mirrored), sequence, () => {
      if (!report) return;
      this.#socket.send({ type: 'shown', sequence, decodeMs: decodedAt - receivedAt, displayMs: performance.now() - decodedAt });
    });
  }
}

/** From this height on, pictures without a stated colour matrix are taken as HD by every decoder. */
const HD_HEIGHT = 720;

function i420(message: PictureMessage): VideoFrame {
  const { width, height, planes, capturedUs } = message;
  const standard = height >= HD_HEIGHT ? 'bt709' : 'smpte170m';
  return new VideoFrame(planes, {
    format: 'I420',
    codedWidth: width,
    codedHeight: height,
    timestamp: capturedUs,
    colorSpace: { primaries: standard, transfer: standard, matrix: standard, fullRange: false },
  });
}

function drawable(frame: VideoFrame, mirrored: boolean): Drawable {
  return {
    source: frame,
    width: frame.displayWidth,
    height: frame.displayHeight,
    mirrored,
    close: () => frame.close(),
  };
}
