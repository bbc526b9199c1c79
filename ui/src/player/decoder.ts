/**
 * The patient's access units into pictures: all of them, in order, and never far behind.
 *
 * Belongs here: feeding WebCodecs, catching up, recovering from errors. Not here: drawing (`painter.ts`), the socket (`socket.ts`).
 */
import { codecString } from './annexb';
import type { UnitMessage } from './wire';

/** Further behind than this a conversation suffers more from the delay than from a jump. */
const MAX_BEHIND_MS = 500;

/**
 * Units handed to the decoder at once. Enough to keep its threads busy, few enough that a jump loses no time in its queue, which
 * cannot be searched for a key frame.
 */
const IN_DECODER = 4;

/** Without a key frame to jump to, units wait up to this many bytes (a minute at 2 Mbps), then a key frame is asked for. */
const MAX_WAITING_BYTES = 16 << 20;

/** A decoder that takes this many units and gives no picture is stuck; longer than any reordering of H.264 (16 pictures). */
const MAX_SILENT_UNITS = 60;

/** Failures in a row after which this decoder is given up and pictures are decoded outside the window. */
const MAX_FAILURES = 3;

/** What is remembered about units still inside the decoder, to find their times again. */
const MAX_REMEMBERED = 64;

export interface Decoded {
  sequence: number;
  receivedAt: number;
  decodedAt: number;
  width: number;
  height: number;
}

/** The part of `VideoDecoder` used here, so that tests can stand in for it. */
export interface DecoderLike {
  readonly decodeQueueSize: number;
  readonly state: CodecState;
  configure(config: VideoDecoderConfig): void;
  decode(unit: { key: boolean; timestamp: number; data: Uint8Array }): void;
  reset(): void;
  close(): void;
  ondequeue: (() => void) | null;
}

export type DecoderFactory<F> = (output: (frame: F, timestamp: number) => void, error: (reason: unknown) => void) => DecoderLike;

export interface DecoderEvents<F> {
  /** The receiver owns `frame` and closes it. */
  picture(frame: F, about: Decoded): void;
  /** A key frame is needed before anything more can be shown. */
  needKey(): void;
  /** WebCodecs fails again and again here. */
  unusable(): void;
}

interface Waiting {
  unit: UnitMessage;
  receivedAt: number;
}

export class PictureDecoder<F> {
  readonly #create: DecoderFactory<F>;
  readonly #events: DecoderEvents<F>;
  readonly #now: () => number;
  #decoder: DecoderLike | null = null;
  #waiting: Waiting[] = [];
  #waitingBytes = 0;
  #inside = new Map<number, Waiting>();
  #config: { codec: string; width: number; height: number } | null = null;
  #needsKey = true;
  #asked = false;
  #silent = 0;
  #failures = 0;

  constructor(create: DecoderFactory<F>, events: DecoderEvents<F>, now: () => number = () => performance.now()) {
    this.#create = create;
    this.#events = events;
    this.#now = now;
  }

  push(unit: UnitMessage, receivedAt: number): void {
    if (unit.discontinuity) this.reset();
    if (this.#needsKey && !unit.key) {
      this.#askForKey();
      return;
    }
    this.#needsKey = false;
    this.#asked = false;
    this.#waiting.push({ unit, receivedAt });
    this.#waitingBytes += unit.data.byteLength;
    this.#feed();
    this.#catchUp();
  }

  /** Forgets everything in flight; the next unit shown is a key unit. */
  reset(): void {
    this.#clear();
    this.#needsKey = true;
  }

  close(): void {
    this.reset();
    this.#dispose();
  }

  #clear(): void {
    this.#waiting = [];
    this.#waitingBytes = 0;
    this.#inside.clear();
    this.#config = null;
    this.#silent = 0;
    if (this.#decoder?.state === 'configured') this.#decoder.reset();
  }

  #dispose(): void {
    if (this.#decoder !== null && this.#decoder.state !== 'closed') this.#decoder.close();
    this.#decoder = null;
  }

  #feed(): void {
    while (this.#waiting.length > 0 && (this.#decoder?.decodeQueueSize ?? 0) < IN_DECODER) {
      const next = this.#waiting.shift()!;
      this.#waitingBytes -= next.unit.data.byteLength;
      if (!this.#submit(next)) return;
    }
  }

  /** False when the decoder gave up and everything was dropped. */
  #submit(next: Waiting): boolean {
    const { unit } = next;
    try {
      if (unit.key) this.#configureFor(unit);
      const decoder = this.#decoder;
      if (decoder === null || this.#config === null) {
        this.#fail();
        return false;
      }
      this.#inside.set(unit.ptsUs, next);
      if (this.#inside.size > MAX_REMEMBERED) this.#inside.delete(this.#inside.keys().next().value!);
      decoder.decode({ key: unit.key, timestamp: unit.ptsUs, data: unit.data });
    } catch {
      this.#fail();
      return false;
    }
    this.#silent += 1;
    if (this.#silent > MAX_SILENT_UNITS) {
      this.#fail();
      return false;
    }
    return true;
  }

  #configureFor(unit: UnitMessage): void {
    const { width, height } = unit;
    const codec = codecString(unit.data) ?? this.#config?.codec;
    if (codec === undefined) return;
    const same = this.#config?.codec === codec && this.#config.width === width && this.#config.height === height;
    if (same && this.#decoder?.state === 'configured') return;
    if (this.#decoder === null || this.#decoder.state === 'closed') this.#decoder = this.#open();
    this.#decoder.configure({ codec, optimizeForLatency: true });
    this.#config = { codec, width, height };
  }

  #open(): DecoderLike {
    const decoder: DecoderLike = this.#create(
      (frame, timestamp) => {
        if (this.#decoder === decoder) this.#output(frame, timestamp);
        else closeQuietly(frame);
      },
      () => {
        if (this.#decoder === decoder) this.#fail();
      },
    );
    decoder.ondequeue = () => {
      if (this.#decoder !== decoder) return;
      this.#feed();
      this.#catchUp();
    };
    return decoder;
  }

  #output(frame: F, timestamp: number): void {
    this.#silent = 0;
    this.#failures = 0;
    const about = this.#inside.get(timestamp);
    this.#inside.delete(timestamp);
    if (about === undefined) {
      // From before a reset, when this moment's units were already forgotten.
      closeQuietly(frame);
    } else {
      const { sequence, width, height } = about.unit;
      this.#events.picture(frame, { sequence, width, height, receivedAt: about.receivedAt, decodedAt: this.#now() });
    }
    this.#feed();
  }

  /** Too far behind: jump to the newest key frame that waits. Never to anything between two key frames. */
  #catchUp(): void {
    const oldest = this.#waiting[0];
    const newest = this.#waiting.at(-1);
    if (oldest === undefined || newest === undefined) return;
    const behindMs = Math.max(this.#now() - oldest.receivedAt, (newest.unit.ptsUs - oldest.unit.ptsUs) / 1000);
    if (behindMs > MAX_BEHIND_MS) {
      const key = this.#waiting.findLastIndex((w) => w.unit.key);
      // At 0 it is already next: what follows it must be decoded.
      if (key > 0) {
        const kept = this.#waiting.slice(key);
        this.#clear();
        this.#waiting = kept;
        this.#waitingBytes = kept.reduce((sum, w) => sum + w.unit.data.byteLength, 0);
        this.#feed();
        return;
      }
    }
    if (this.#waitingBytes > MAX_WAITING_BYTES) {
      this.reset();
      this.#askForKey();
    }
  }

  /** Once, however many units cannot be used until it comes. */
  #askForKey(): void {
    if (this.#asked) return;
    this.#asked = true;
    this.#events.needKey();
  }

  #fail(): void {
    this.#failures += 1;
    this.reset();
    this.#dispose();
    if (this.#failures >= MAX_FAILURES) {
      this.#failures = 0;
      this.#events.unusable();
    } else {
      this.#askForKey();
    }
  }
}

/** The browser's own decoder; frames are its `VideoFrame`s. */
export const webCodecs: DecoderFactory<VideoFrame> = (output, error) => {
  const decoder = new VideoDecoder({ output: (frame) => output(frame, frame.timestamp), error });
  const like: DecoderLike = {
    get decodeQueueSize() {
      return decoder.decodeQueueSize;
    },
    get state() {
      return decoder.state;
    },
    configure: (config) => decoder.configure(config),
    decode: ({ key, timestamp, data }) => decoder.decode(new EncodedVideoChunk({ type: key ? 'key' : 'delta', timestamp, data })),
    reset: () => decoder.reset(),
    close: () => decoder.close(),
    ondequeue: null,
  };
  decoder.addEventListener('dequeue', () => like.ondequeue?.());
  return like;
};

function closeQuietly(frame: unknown): void {
  if (typeof frame === 'object' && frame !== null && 'close' in frame && typeof frame.close === 'function') frame.close();
}
