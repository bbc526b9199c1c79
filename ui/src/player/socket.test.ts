import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { PlayerSocket } from './socket';

class FakeSocket {
  readyState: number = WebSocket.CONNECTING;
  binaryType = '';
  sent: string[] = [];
  onopen: (() => void) | null = null;
  onmessage: ((event: { data: unknown }) => void) | null = null;
  onclose: (() => void) | null = null;
  constructor(readonly url: string) {}
  send(text: string): void {
    this.sent.push(text);
  }
  close(): void {
    this.drop();
  }
  open(): void {
    this.readyState = WebSocket.OPEN;
    this.onopen?.();
  }
  drop(): void {
    this.readyState = WebSocket.CLOSED;
    this.onclose?.();
  }
}

let made: FakeSocket[];
const events = { message: vi.fn(), open: vi.fn(), closed: vi.fn() };
let socket: PlayerSocket;

beforeEach(() => {
  vi.useFakeTimers();
  made = [];
  for (const event of Object.values(events)) event.mockReset();
  socket = new PlayerSocket(events, (url) => {
    const one = new FakeSocket(url);
    made.push(one);
    return one as unknown as WebSocket;
  });
});
afterEach(() => {
  socket.close();
  vi.useRealTimers();
});

it('opens once for an address, and again for another', () => {
  socket.connect('ws://127.0.0.1:1/player');
  socket.connect('ws://127.0.0.1:1/player');
  socket.connect('ws://127.0.0.1:2/player');
  expect(made.map((s) => s.url)).toEqual(['ws://127.0.0.1:1/player', 'ws://127.0.0.1:2/player']);
});

it('returns after a loss, later each time, and at once after a success', () => {
  socket.connect('ws://127.0.0.1:1/player');
  const waits: number[] = [];
  for (let i = 0; i < 6; i++) {
    made.at(-1)!.drop();
    const before = made.length;
    let waited = 0;
    while (made.length === before) {
      vi.advanceTimersByTime(50);
      waited += 50;
    }
    waits.push(waited);
  }
  expect(waits).toEqual([250, 500, 1000, 2000, 4000, 4000]);
  made.at(-1)!.open();
  made.at(-1)!.drop();
  vi.advanceTimersByTime(250);
  expect(made).toHaveLength(8);
});

it('hands on what it understands and nothing else', () => {
  socket.connect('ws://127.0.0.1:1/player');
  made[0]!.open();
  const meter = new Uint8Array(20);
  meter[0] = 4;
  made[0]!.onmessage?.({ data: meter.buffer });
  made[0]!.onmessage?.({ data: 'text' });
  made[0]!.onmessage?.({ data: new ArrayBuffer(3) });
  expect(events.message).toHaveBeenCalledTimes(1);
  expect(made[0]!.binaryType).toBe('arraybuffer');
});

it('says nothing to a socket that is not open, and nothing after it is closed', () => {
  socket.connect('ws://127.0.0.1:1/player');
  socket.send({ type: 'needKey' });
  made[0]!.open();
  socket.send({ type: 'selfTest', ok: true });
  expect(made[0]!.sent).toEqual(['{"type":"selfTest","ok":true}']);
  socket.close();
  vi.advanceTimersByTime(60_000);
  expect(made).toHaveLength(1);
});
