import { beforeEach, describe, expect, it } from 'vitest';
import { PictureDecoder, type DecoderLike } from './decoder';
import type { UnitMessage } from './wire';

interface Frame {
  timestamp: number;
  closed: boolean;
  close(): void;
}

/** A decoder that gives pictures when told to, and keeps a diary. */
class SlowDecoder implements DecoderLike {
  decodeQueueSize = 0;
  state: CodecState = 'unconfigured';
  ondequeue: (() => void) | null = null;
  fails = false;
  readonly queue: number[] = [];
  constructor(
    readonly diary: string[],
    readonly output: (frame: Frame, timestamp: number) => void,
    readonly error: (reason: unknown) => void,
  ) {}

  configure(config: VideoDecoderConfig): void {
    this.state = 'configured';
    this.diary.push(`configure ${config.codec}`);
  }
  decode(unit: { key: boolean; timestamp: number }): void {
    if (this.fails) throw new Error('broken');
    this.diary.push(`${unit.key ? 'key' : 'delta'} ${unit.timestamp / 1000}`);
    this.queue.push(unit.timestamp);
    this.decodeQueueSize += 1;
  }
  reset(): void {
    this.state = 'unconfigured';
    this.queue.length = 0;
    this.decodeQueueSize = 0;
    this.diary.push('reset');
  }
  close(): void {
    this.state = 'closed';
    this.diary.push('close');
  }
  /** Decodes `count` units. */
  work(count: number): void {
    for (let i = 0; i < count; i++) {
      const timestamp = this.queue.shift();
      if (timestamp === undefined) return;
      this.decodeQueueSize -= 1;
      const frame: Frame = {
        timestamp,
        closed: false,
        close() {
          this.closed = true;
        },
      };
      this.output(frame, timestamp);
      this.ondequeue?.();
    }
  }
}

const SPS = [0, 0, 0, 1, 0x67, 0x42, 0xc0, 0x1f, 0xff];
let now: number;
let diary: string[];
let shown: number[];
let asked: number;
let unusable: number;
let decoders: SlowDecoder[];
let sequence: number;
let decoder: PictureDecoder<Frame>;

beforeEach(() => {
  now = 0;
  diary = [];
  shown = [];
  asked = 0;
  unusable = 0;
  decoders = [];
  sequence = 0;
  decoder = new PictureDecoder<Frame>(
    (output, error) => {
      const created = new SlowDecoder(diary, output, error);
      decoders.push(created);
      return created;
    },
    {
      picture: (frame, about) => {
        shown.push(about.sequence);
        frame.close();
      },
      needKey: () => (asked += 1),
      unusable: () => (unusable += 1),
    },
    () => now,
  );
});

function push(kind: 'key' | 'delta', ptsMs: number, change: Partial<UnitMessage> = {}): void {
  sequence += 1;
  const data = Uint8Array.from(kind === 'key' ? SPS : [0, 0, 1, 0x41, 1, 2, 3, 4]);
  decoder.push({ kind: 'unit', key: kind === 'key', discontinuity: false, width: 640, height: 480, sequence, ptsUs: ptsMs * 1000, data, ...change }, now);
}
const current = () => decoders.at(-1)!;

describe('in step', () => {
  it('decodes every unit, in order', () => {
    push('key', 0);
    current().work(1);
    for (const pts of [33, 66, 100]) {
      push('delta', pts);
      current().work(1);
    }
    expect(diary).toEqual(['configure avc1.42C01F', 'key 0', 'delta 33', 'delta 66', 'delta 100']);
    expect(shown).toEqual([1, 2, 3, 4]);
    expect(asked).toBe(0);
  });

  it('gives the decoder a few units at a time', () => {
    push('key', 0);
    for (let i = 1; i < 10; i++) push('delta', i * 33);
    expect(current().queue).toHaveLength(4);
    current().work(100);
    expect(shown).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
  });

  it('configures again when the picture changes its size, without dropping anything', () => {
    push('key', 0);
    push('key', 33, { width: 480, height: 640 });
    current().work(2);
    expect(diary).toEqual(['configure avc1.42C01F', 'key 0', 'configure avc1.42C01F', 'key 33']);
    expect(shown).toEqual([1, 2]);
  });
});

describe('beginning', () => {
  it('waits for a key frame, and asks for it once', () => {
    push('delta', 0);
    push('delta', 33);
    expect(decoders).toHaveLength(0);
    expect(asked).toBe(1);
    push('key', 66);
    current().work(1);
    expect(shown).toEqual([3]);
  });

  it('resets at a discontinuity', () => {
    push('key', 0);
    push('delta', 33);
    push('key', 5000, { discontinuity: true });
    current().work(1);
    expect(diary.slice(3)).toEqual(['reset', 'configure avc1.42C01F', 'key 5000']);
    expect(shown).toEqual([3]);
  });

  it('closes a picture from before the reset unseen', () => {
    push('key', 0);
    const late: Frame = {
      timestamp: 0,
      closed: false,
      close() {
        this.closed = true;
      },
    };
    decoder.reset();
    current().output(late, 0);
    expect(late.closed).toBe(true);
    expect(shown).toEqual([]);
  });
});

describe('behind', () => {
  it('jumps to the newest key frame that waits', () => {
    push('key', 0);
    for (let i = 1; i < 40; i++) push(i % 10 === 0 ? 'key' : 'delta', i * 33);
    // Half a second of waiting units: everything before the newest key frame goes.
    current().work(100);
    expect(diary).toContain('reset');
    const after = diary.slice(diary.lastIndexOf('reset'));
    expect(after[1]).toBe('configure avc1.42C01F');
    expect(after[2]).toMatch(/^key/);
    // From there on nothing is missing.
    const tail = shown.slice(shown.findIndex((s, i) => i > 0 && s !== shown[i - 1]! + 1));
    expect(tail).toEqual(Array.from({ length: tail.length }, (_, i) => tail[0]! + i));
    expect(shown.at(-1)).toBe(40);
  });

  it('never jumps between key frames', () => {
    push('key', 0);
    for (let i = 1; i < 60; i++) push('delta', i * 33);
    current().work(100);
    expect(diary).not.toContain('reset');
    expect(shown).toHaveLength(60);
  });

  it('counts the time units waited, when the clock of the media does not tell', () => {
    push('key', 0);
    for (let i = 1; i < 6; i++) push('delta', i);
    now = 700;
    push('key', 7);
    expect(diary.slice(-2)).toEqual(['configure avc1.42C01F', 'key 7']);
  });

  it('does not grow without bound: then it asks for a key frame', () => {
    push('key', 0);
    for (let i = 1; i < 24; i++) push('delta', i, { data: new Uint8Array(1 << 20) });
    expect(asked).toBe(1);
    push('delta', 30);
    expect(asked).toBe(1);
    push('key', 31);
    expect(current().queue).toEqual([31_000]);
  });
});

describe('broken', () => {
  it('asks for a key frame after an error and goes on with a new decoder', () => {
    push('key', 0);
    current().error(new Error('bad data'));
    expect(asked).toBe(1);
    push('delta', 33);
    push('key', 66, { discontinuity: true });
    expect(decoders).toHaveLength(2);
    current().work(1);
    expect(shown).toEqual([3]);
    expect(unusable).toBe(0);
  });

  it('gives up after three failures without a picture between', () => {
    for (let i = 0; i < 3; i++) {
      push('key', i * 100, { discontinuity: true });
      current().error(new Error('no decoder'));
    }
    expect(unusable).toBe(1);
  });

  it('takes silence for failure', () => {
    push('key', 0);
    for (let i = 1; i < 80; i++) {
      push('delta', i * 5);
      current().decodeQueueSize = 0;
    }
    expect(asked).toBe(1);
  });

  it('survives a decoder that throws', () => {
    push('key', 0);
    current().fails = true;
    push('delta', 33);
    expect(asked).toBe(1);
  });
});
