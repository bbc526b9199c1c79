/**
 * The player socket's messages: bytes in, typed values out, and the few answers the window sends.
 *
 * Belongs here: layout of messages (little endian). Not here: the connection (`socket.ts`), what is done with pictures (`player.ts`).
 */

/** One H.264 access unit of the patient's picture, as Annex B; a key unit carries SPS and PPS in front. */
export interface UnitMessage {
  kind: 'unit';
  key: boolean;
  /** The decoder must be reset before this unit. */
  discontinuity: boolean;
  width: number;
  height: number;
  sequence: number;
  ptsUs: number;
  data: Uint8Array;
}

/** A decoded picture, planes Y, U, V tightly packed. */
export interface PictureMessage {
  kind: 'own' | 'remote';
  /** Shown as in a mirror. */
  mirrored: boolean;
  width: number;
  height: number;
  sequence: number;
  capturedUs: number;
  planes: Uint8Array;
}

/** Sound levels as linear full scale, 0 to 1. */
export interface MeterMessage {
  kind: 'meter';
  muted: boolean;
  micRms: number;
  micPeak: number;
  remoteRms: number;
  remotePeak: number;
}

export type Incoming = UnitMessage | PictureMessage | MeterMessage;

export type Outgoing =
  | { type: 'selfTest'; ok: boolean }
  | { type: 'shown'; sequence: number; decodeMs: number; displayMs: number }
  | { type: 'needKey' }
  | { type: 'ownHeight'; pixels: number };

const KIND_UNIT = 1;
const KIND_OWN = 2;
const KIND_REMOTE = 3;
const KIND_METER = 4;

const PICTURE_HEADER = 24;
const METER_BYTES = 20;

/** Larger than any screen; a header that says more is not believed. */
const MAX_SIDE = 8192;

/** Bytes of an I420 picture whose planes touch each other; odd sides round up. */
export function i420Bytes(width: number, height: number): number {
  return width * height + 2 * Math.ceil(width / 2) * Math.ceil(height / 2);
}

/** `null` for anything that is not a whole, sensible message. */
export function parse(buffer: ArrayBuffer): Incoming | null {
  if (buffer.byteLength < 4) return null;
  const view = new DataView(buffer);
  switch (view.getUint8(0)) {
    case KIND_UNIT:
      return parseUnit(buffer, view);
    case KIND_OWN:
      return parsePicture(buffer, view, 'own');
    case KIND_REMOTE:
      return parsePicture(buffer, view, 'remote');
    case KIND_METER:
      return parseMeter(view);
    default:
      return null;
  }
}

export function encode(message: Outgoing): string {
  return JSON.stringify(message);
}

function parseUnit(buffer: ArrayBuffer, view: DataView): UnitMessage | null {
  if (buffer.byteLength <= PICTURE_HEADER) return null;
  const flags = view.getUint8(1);
  return {
    kind: 'unit',
    key: (flags & 1) !== 0,
    discontinuity: (flags & 2) !== 0,
    width: view.getUint16(2, true),
    height: view.getUint16(4, true),
    sequence: view.getUint32(8, true),
    ptsUs: Number(view.getBigUint64(16, true)),
    data: new Uint8Array(buffer, PICTURE_HEADER),
  };
}

function parsePicture(buffer: ArrayBuffer, view: DataView, kind: 'own' | 'remote'): PictureMessage | null {
  if (buffer.byteLength <= PICTURE_HEADER) return null;
  const width = view.getUint16(2, true);
  const height = view.getUint16(4, true);
  if (width === 0 || height === 0 || width > MAX_SIDE || height > MAX_SIDE) return null;
  const bytes = i420Bytes(width, height);
  if (buffer.byteLength < PICTURE_HEADER + bytes) return null;
  return {
    kind,
    mirrored: (view.getUint8(1) & 1) !== 0,
    width,
    height,
    sequence: view.getUint32(8, true),
    capturedUs: Number(view.getBigUint64(16, true)),
    planes: new Uint8Array(buffer, PICTURE_HEADER, bytes),
  };
}

function parseMeter(view: DataView): MeterMessage | null {
  if (view.byteLength < METER_BYTES) return null;
  const level = (offset: number) => {
    const value = view.getFloat32(offset, true);
    return Number.isFinite(value) ? Math.min(1, Math.max(0, value)) : 0;
  };
  return {
    kind: 'meter',
    muted: (view.getUint8(1) & 1) !== 0,
    micRms: level(4),
    micPeak: level(8),
    remoteRms: level(12),
    remotePeak: level(16),
  };
}
