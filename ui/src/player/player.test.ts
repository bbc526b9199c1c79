import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { SocketPlayer } from './player';
import { i420Bytes } from './wire';

let sockets: { onopen: () => void; onmessage: (event: { data: ArrayBuffer }) => void; sent: string[] }[];

beforeEach(() => {
  sockets = [];
  class FakeSocket {
    static readonly OPEN = 1;
    readonly readyState = 1;
    readonly sent: string[] = [];
    onopen = () => undefined;
    onmessage = () => undefined;
    constructor() {
      sockets.push(this);
    }
    send(text: string): void {
      this.sent.push(text);
    }
    close(): void {
      // Nothing behind it.
    }
  }
  vi.stubGlobal('WebSocket', FakeSocket);
  vi.stubGlobal(
    'VideoFrame',
    class {
      readonly displayWidth: number;
      readonly displayHeight: number;
      constructor(_: Uint8Array, init: { codedWidth: number; codedHeight: number }) {
        this.displayWidth = init.codedWidth;
        this.displayHeight = init.codedHeight;
      }
      close = vi.fn();
    },
  );
});
afterEach(() => vi.unstubAllGlobals());

function planes(kind: number, sequence: number): ArrayBuffer {
  const buffer = new ArrayBuffer(24 + i420Bytes(4, 2));
  const view = new DataView(buffer);
  view.setUint8(0, kind);
  view.setUint16(2, 4, true);
  view.setUint16(4, 2, true);
  view.setUint32(8, sequence, true);
  return buffer;
}
const sent = () => sockets[0]!.sent.map((text) => JSON.parse(text) as Record<string, unknown>);

it('says at every opening that it cannot decode here, and reports the pictures decoded for it', async () => {
  const player = new SocketPlayer();
  player.connect('ws://127.0.0.1:1/player');
  sockets[0]!.onopen();
  await vi.waitFor(() => expect(sent()).toContainEqual({ type: 'selfTest', ok: false }));

  const drawn: [string, number][] = [];
  for (const side of ['own', 'remote'] as const) {
    player[side].attach({ canvas: document.createElement('canvas'), size: () => undefined, drawn: (sequence) => drawn.push([side, sequence]) });
  }
  sockets[0]!.onmessage({ data: planes(2, 5) });
  sockets[0]!.onmessage({ data: planes(3, 6) });
  expect(drawn).toEqual([
    ['own', 5],
    ['remote', 6],
  ]);
  const shown = sent().filter((message) => message['type'] === 'shown');
  expect(shown).toHaveLength(1);
  expect(shown[0]).toMatchObject({ sequence: 6, decodeMs: expect.any(Number), displayMs: expect.any(Number) });
  player.close();
});

it('says once how high the own picture is drawn', () => {
  const player = new SocketPlayer();
  player.connect('ws://127.0.0.1:1/player');
  const canvas = document.createElement('canvas');
  Object.defineProperty(canvas, 'clientHeight', { value: 620 });
  player.own.attach({ canvas, size: () => undefined });
  for (const sequence of [1, 2]) sockets[0]!.onmessage({ data: planes(2, sequence) });
  expect(sent().filter((message) => message['type'] === 'ownHeight')).toEqual([{ type: 'ownHeight', pixels: 620 }]);
  player.close();
});

it('hands levels to whoever listens', () => {
  const player = new SocketPlayer();
  player.connect('ws://127.0.0.1:1/player');
  const heard = vi.fn();
  const stop = player.onMeter(heard);
  const meter = new ArrayBuffer(20);
  new DataView(meter).setUint8(0, 4);
  sockets[0]!.onmessage({ data: meter });
  stop();
  sockets[0]!.onmessage({ data: meter });
  expect(heard).toHaveBeenCalledTimes(1);
  player.close();
});
