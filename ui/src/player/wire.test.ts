import { describe, expect, it } from 'vitest';
import { codecString } from './annexb';
import { encode, i420Bytes, parse } from './wire';

interface Header {
  kind: number;
  flags?: number;
  width?: number;
  height?: number;
  sequence?: number;
  time?: bigint;
}

/** A picture message as the shell writes it. */
function picture(header: Header, payload: number[] | Uint8Array): ArrayBuffer {
  const buffer = new ArrayBuffer(24 + payload.length);
  const view = new DataView(buffer);
  view.setUint8(0, header.kind);
  view.setUint8(1, header.flags ?? 0);
  view.setUint16(2, header.width ?? 0, true);
  view.setUint16(4, header.height ?? 0, true);
  view.setUint32(8, header.sequence ?? 0, true);
  view.setBigUint64(16, header.time ?? 0n, true);
  new Uint8Array(buffer, 24).set(payload);
  return buffer;
}

function meter(flags: number, levels: [number, number, number, number]): ArrayBuffer {
  const view = new DataView(new ArrayBuffer(20));
  view.setUint8(0, 4);
  view.setUint8(1, flags);
  levels.forEach((level, i) => view.setFloat32(4 + 4 * i, level, true));
  return view.buffer as ArrayBuffer;
}

describe('units', () => {
  it('keeps every field', () => {
    const message = parse(picture({ kind: 1, flags: 3, width: 640, height: 480, sequence: 0xfffffffe, time: 1_234_567_890_123n }, [0, 0, 1, 9]));
    expect(message).toMatchObject({ kind: 'unit', key: true, discontinuity: true, width: 640, height: 480, sequence: 0xfffffffe, ptsUs: 1_234_567_890_123 });
    expect(message?.kind === 'unit' && [...message.data]).toEqual([0, 0, 1, 9]);
  });

  it.each([
    [0, false, false],
    [1, true, false],
    [2, false, true],
  ])('flags %i', (flags, key, discontinuity) => {
    expect(parse(picture({ kind: 1, flags }, [1]))).toMatchObject({ key, discontinuity });
  });
});

describe('pictures', () => {
  it.each([
    ['own', 2],
    ['remote', 3],
  ] as const)('%s', (kind, number) => {
    const planes = new Uint8Array(i420Bytes(3, 5)).fill(7);
    const message = parse(picture({ kind: number, flags: 1, width: 3, height: 5, sequence: 9, time: 40_000n }, planes));
    expect(message).toMatchObject({ kind, mirrored: true, width: 3, height: 5, sequence: 9, capturedUs: 40_000 });
    expect(message?.kind === kind && message.planes.length).toBe(15 + 2 * 6);
  });
});

describe('meters', () => {
  it('keeps levels within their scale', () => {
    expect(parse(meter(1, [0.25, 2, -1, NaN]))).toEqual({ kind: 'meter', muted: true, micRms: 0.25, micPeak: 1, remoteRms: 0, remotePeak: 0 });
  });
});

it.each<[string, ArrayBuffer]>([
  ['nothing', new ArrayBuffer(0)],
  ['a byte', new Uint8Array([1]).buffer],
  ['an unknown kind', new Uint8Array(32).fill(9).buffer],
  ['a unit without bytes', picture({ kind: 1 }, [])],
  ['a picture without sides', picture({ kind: 2 }, [1, 2, 3])],
  ['planes that end early', picture({ kind: 2, width: 4, height: 4 }, new Uint8Array(23))],
  ['sides beyond belief', picture({ kind: 3, width: 65535, height: 65535 }, [1])],
  ['half a meter', meter(0, [0, 0, 0, 0]).slice(0, 19)],
])('refuses %s', (_, buffer) => {
  expect(parse(buffer)).toBeNull();
});

it('never throws on any first kilobyte', () => {
  let seed = 1;
  const random = () => (seed = (seed * 48271) % 0x7fffffff);
  for (let run = 0; run < 2000; run++) {
    const bytes = Uint8Array.from({ length: random() % 1024 }, () => random() & 0xff);
    if (bytes.length > 0) bytes[0] = random() % 6;
    const message = parse(bytes.buffer);
    if (message?.kind === 'own') expect(message.planes.length).toBe(i420Bytes(message.width, message.height));
    codecString(bytes);
  }
});

it('writes what the shell reads', () => {
  expect(JSON.parse(encode({ type: 'shown', sequence: 5, decodeMs: 2.5, displayMs: 8 }))).toEqual({ type: 'shown', sequence: 5, decodeMs: 2.5, displayMs: 8 });
  expect(JSON.parse(encode({ type: 'needKey' }))).toEqual({ type: 'needKey' });
});

it.each([
  ['after a four-byte start code', [0, 0, 0, 1, 0x67, 0x42, 0xc0, 0x1f, 1], 'avc1.42C01F'],
  ['behind an access unit delimiter', [0, 0, 1, 9, 0xf0, 0, 0, 1, 0x27, 0x64, 0, 0x28, 1], 'avc1.640028'],
  ['nowhere', [0, 0, 1, 0x65, 1, 2, 3, 4], null],
])('finds the codec %s', (_, bytes, codec) => {
  expect(codecString(Uint8Array.from(bytes))).toBe(codec);
});
