/**
 * One WebSocket to the shell, opened again whenever it closes.
 *
 * Belongs here: connecting, backing off, handing on parsed messages. Not here: their layout (`wire.ts`), pictures (`player.ts`).
 */
import { encode, parse, type Incoming, type Outgoing } from './wire';

/** The shell is on this computer: the first try may follow at once, and later ones need not be rare. */
const FIRST_RETRY_MS = 250;
const LONGEST_RETRY_MS = 4000;

export interface SocketEvents {
  message(message: Incoming, receivedAt: number): void;
  open(): void;
  closed(): void;
}

type SocketFactory = (url: string) => WebSocket;

export class PlayerSocket {
  #url: string | null = null;
  #socket: WebSocket | null = null;
  #retryMs = FIRST_RETRY_MS;
  #timer: ReturnType<typeof setTimeout> | null = null;
  readonly #events: SocketEvents;
  readonly #create: SocketFactory;

  constructor(events: SocketEvents, create: SocketFactory = (url) => new WebSocket(url)) {
    this.#events = events;
    this.#create = create;
  }

  /** Opens `url`, replacing any other; the same address again changes nothing. */
  connect(url: string): void {
    if (url === this.#url) return;
    this.close();
    this.#url = url;
    if (url !== '') this.#open(url);
  }

  /** Lost silently while the connection is down: every message is about something that is then gone too. */
  send(message: Outgoing): void {
    if (this.#socket?.readyState === WebSocket.OPEN) this.#socket.send(encode(message));
  }

  close(): void {
    this.#url = null;
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
    const socket = this.#socket;
    this.#socket = null;
    socket?.close();
  }

  #open(url: string): void {
    const socket = this.#create(url);
    this.#socket = socket;
    socket.binaryType = 'arraybuffer';
    socket.onopen = () => {
      if (this.#socket !== socket) return;
      this.#retryMs = FIRST_RETRY_MS;
      this.#events.open();
    };
    socket.onmessage = (event: MessageEvent<unknown>) => {
      if (this.#socket !== socket || !(event.data instanceof ArrayBuffer)) return;
      const message = parse(event.data);
      if (message !== null) this.#events.message(message, performance.now());
    };
    socket.onclose = () => {
      if (this.#socket !== socket) return;
      this.#socket = null;
      this.#events.closed();
      this.#timer = setTimeout(() => {
        if (this.#url !== null) this.#open(this.#url);
      }, this.#retryMs);
      this.#retryMs = Math.min(LONGEST_RETRY_MS, this.#retryMs * 2);
    };
  }
}
