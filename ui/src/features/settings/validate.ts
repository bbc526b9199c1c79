/**
 * Which settings can be kept, before the shell is asked.
 *
 * Belongs here: rules a user can be told about while typing. Not here: whether a port is free or a server answers (the shell).
 */
import type { Ports, ServerPorts } from '../../generated/bindings';
import type { Dictionary } from '../../i18n/index.svelte';

type Problem = string | null;

const PATH = /^[A-Za-z0-9_.~-]+(\/[A-Za-z0-9_.~-]+)*$/;
/** Last segments that are endpoints of their own. */
const RESERVED: readonly string[] = ['whip', 'whep', 'publish'];

export function streamName(t: Dictionary, name: string, other: string): Problem {
  const words = t.settings.invalid;
  const segments = name.split('/');
  if (!PATH.test(name) || segments.some((s) => s === '.' || s === '..')) return words.streamName;
  if (RESERVED.includes(segments.at(-1) ?? '')) return words.streamReserved;
  return name === other ? words.streamSame : null;
}

/** Ports that would meet: TCP with TCP; the one UDP port may share a number with any. */
const TCP: readonly (keyof Ports)[] = ['rtmp', 'hls', 'webrtcHttp'];

export function port(t: Dictionary, text: string, which: keyof Ports, ports: Ports): Problem {
  const value = wholeNumber(text);
  if (value === null || value < 1 || value > 65535) return t.settings.invalid.port;
  if (!TCP.includes(which)) return null;
  const met = TCP.find((other) => other !== which && ports[other] === value);
  return met === undefined ? null : t.settings.invalid.portSame(t.settings.portNames[met]);
}

const SERVER: Record<keyof ServerPorts, keyof Ports> = { whip: 'webrtcHttp', rtmp: 'rtmp', hls: 'hls' };

/** A port of a server elsewhere; each of its services has one of its own. */
export function serverPort(t: Dictionary, text: string, which: keyof ServerPorts, ports: ServerPorts): Problem {
  const value = wholeNumber(text);
  if (value === null || value < 1 || value > 65535) return t.settings.invalid.port;
  // HLS and WHIP may share one behind a proxy; RTMP is no HTTP.
  const met = (['whip', 'rtmp', 'hls'] as const).find((other) => other !== which && (which === 'rtmp' || other === 'rtmp') && ports[other] === value);
  return met === undefined ? null : t.settings.invalid.portSame(t.settings.portNames[SERVER[met]]);
}

/** Does the address say itself where WHIP is? A port copied from an RTMP address does not. */
export function namesItsPort(address: string, ports: ServerPorts): boolean {
  const trimmed = address.trim();
  if (/^https?:\/\//i.test(trimmed)) return true;
  const named = HOST.exec(trimmed)?.[4];
  return named !== undefined && Number(named) !== ports.rtmp;
}

/** What openh264 and a home uplink both carry. */
const BITRATE = { min: 100, max: 20_000 };

export function bitrate(t: Dictionary, text: string): Problem {
  const value = wholeNumber(text);
  return value === null || value < BITRATE.min || value > BITRATE.max ? t.settings.invalid.bitrate : null;
}

const HOST = /^(\[[0-9a-fA-F:.%]+\]|[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?)(:(\d{1,5}))?$/;

/** A host, `host:port` or a whole `http(s)://` address. */
export function serverAddress(t: Dictionary, text: string): Problem {
  const words = t.settings.invalid;
  const trimmed = text.trim();
  if (trimmed === '') return words.addressMissing;
  if (/^https?:\/\//i.test(trimmed)) return isUrl(trimmed) ? null : words.address;
  const match = HOST.exec(trimmed);
  if (match === null) return words.address;
  const number = match[4] === undefined ? 1 : Number(match[4]);
  return number >= 1 && number <= 65535 ? null : words.address;
}

function isUrl(text: string): boolean {
  try {
    return new URL(text).hostname !== '';
  } catch {
    return false;
  }
}

export function wholeNumber(text: string): number | null {
  return /^\d{1,6}$/.test(text.trim()) ? Number(text) : null;
}
