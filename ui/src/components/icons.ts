/**
 * The icon set: 24 grid, 1.75 stroke, round ends, `currentColor`; filled only for "is happening".
 *
 * Belongs here: shapes, one meaning each. Not here: size and colour (`Icon.svelte`, the tokens).
 */

/** `fill`: solid, no stroke. `cut`: drawn in the colour of what lies behind. */
interface Style {
  fill?: true;
  cut?: true;
  dashed?: true;
}
export type Shape = ({ path: string } | { circle: readonly [x: number, y: number, r: number] } | { rect: readonly [x: number, y: number, w: number, h: number, r: number] }) & Style;

/** A receiver put down; filled and stroked, so that it is as heavy as the others. */
const END =
  'M2.8 14.6c-.9-1.2-.6-2.8.5-3.7a14 14 0 0 1 17.4 0c1.1.9 1.4 2.5.5 3.7l-.6.8c-.5.7-1.4.9-2.2.6l-2-.8c-.7-.3-1.2-1-1.1-1.8l.1-1.5a11 11 0 0 0-6.8 0l.1 1.5c.1.8-.4 1.5-1.1 1.8l-2 .8c-.8.3-1.7.1-2.2-.6z';

export const ICONS = {
  back: [{ path: 'M14.5 6l-6 6 6 6' }],
  cable: [{ path: 'M7 3.5h10v7a3 3 0 0 1-3 3h-4a3 3 0 0 1-3-3zM12 13.5v7M10 3.5v3M14 3.5v3' }],
  card: [{ rect: [3, 4.5, 18, 15, 2.5] }, { path: 'M9 4.5v15M15 4.5v15' }],
  check: [{ path: 'm4.5 12.5 5 5 10-11' }],
  close: [{ path: 'M6 6l12 12M18 6 6 18' }],
  copy: [{ rect: [8.5, 8.5, 12, 12, 2.5] }, { path: 'M15.5 5.5V5A1.5 1.5 0 0 0 14 3.5H5A1.5 1.5 0 0 0 3.5 5v9A1.5 1.5 0 0 0 5 15.5h.5' }],
  down: [{ path: 'm6.5 9.5 5.5 5.5 5.5-5.5' }],
  end: [{ path: END, fill: true }, { path: END }],
  eye: [{ path: 'M2 12s3.5-6.5 10-6.5S22 12 22 12s-3.5 6.5-10 6.5S2 12 2 12z' }, { circle: [12, 12, 3] }],
  eyeOff: [{ path: 'M9.5 5.8A10 10 0 0 1 12 5.5c6.5 0 10 6.5 10 6.5a17 17 0 0 1-2.7 3.4M6.3 7.3A16 16 0 0 0 2 12s3.5 6.5 10 6.5c1.7 0 3.2-.4 4.5-1.1M3 3l18 18' }],
  frozen: [{ circle: [12, 12, 9] }, { path: 'M9.5 8.5v7M14.5 8.5v7' }],
  full: [{ path: 'M8.5 3.5h-5v5M15.5 3.5h5v5M20.5 15.5v5h-5M8.5 20.5h-5v-5' }],
  fullOff: [{ path: 'M3.5 8.5h5v-5M20.5 8.5h-5v-5M15.5 20.5v-5h5M8.5 20.5v-5h-5' }],
  gear: [{ circle: [12, 12, 3.2] }, { path: 'M12 2.8v2.7M12 18.5v2.7M2.8 12h2.7M18.5 12h2.7M5.5 5.5l1.9 1.9M16.6 16.6l1.9 1.9M18.5 5.5l-1.9 1.9M7.4 16.6l-1.9 1.9' }],
  globe: [{ circle: [12, 12, 9] }, { path: 'M3 12h18M12 3c2.6 2.6 3.8 5.6 3.8 9s-1.2 6.4-3.8 9c-2.6-2.6-3.8-5.6-3.8-9S9.4 5.6 12 3z' }],
  idle: [{ circle: [12, 12, 8], dashed: true }],
  info: [{ circle: [12, 12, 9] }, { path: 'M12 11v5.5M12 7.6v.1' }],
  keyboard: [{ rect: [2, 6, 20, 12.5, 2.5] }, { path: 'M6 10h.1M10 10h.1M14 10h.1M18 10h.1M7.5 14.5h9' }],
  live: [{ circle: [12, 12, 3], fill: true }, { path: 'M7 7a7 7 0 0 0 0 10M17 7a7 7 0 0 1 0 10M4.2 4.2a11 11 0 0 0 0 15.6M19.8 4.2a11 11 0 0 1 0 15.6' }],
  lock: [{ rect: [4.5, 10.5, 15, 10, 2.5] }, { path: 'M8 10.5v-3a4 4 0 0 1 8 0v3' }],
  message: [{ path: 'M4 4.5h16v12h-8.5L7 20.5v-4H4z' }],
  mic: [{ rect: [9, 2.5, 6, 12, 3] }, { path: 'M5 11.5a7 7 0 0 0 14 0M12 18.5v3' }],
  micOff: [{ path: 'M9 9V5.5a3 3 0 0 1 6 0v5M14.6 13.2A3 3 0 0 1 9 11.6M5 11.5a7 7 0 0 0 11 5.8M19 11.5a7 7 0 0 1-.6 2.8M12 18.5v3M3 3l18 18' }],
  ok: [{ circle: [12, 12, 9.5], fill: true }, { path: 'm7.8 12.3 3 3 5.6-6.2', cut: true }],
  panel: [{ rect: [3, 4, 18, 16, 2.5] }, { path: 'M15 4v16' }],
  refused: [{ path: 'M8 2.8h8l5.2 5.2v8L16 21.2H8L2.8 16V8z' }, { path: 'm9 9 6 6M15 9l-6 6' }],
  retry: [{ path: 'M20 11.5a8 8 0 1 0-2.3 6.2M20 5v6.5h-6.5' }],
  right: [{ path: 'm9.5 6 6 6-6 6' }],
  server: [{ rect: [3, 4, 18, 7, 2] }, { rect: [3, 13, 18, 7, 2] }, { path: 'M7 7.5h.1M7 16.5h.1' }],
  silent: [{ path: 'M4 9.5v5h3.5l5 4v-13l-5 4zM16.5 9.5l5 5M21.5 9.5l-5 5' }],
  slow: [{ path: 'M6 3.5h12M6 20.5h12M7.5 3.5c0 5 4.5 5.5 4.5 8.5s-4.5 3.5-4.5 8.5M16.5 3.5c0 5-4.5 5.5-4.5 8.5s4.5 3.5 4.5 8.5' }],
  speaker: [{ path: 'M4 9.5v5h3.5l5 4v-13l-5 4zM16 9a4.2 4.2 0 0 1 0 6M18.5 6.5a8 8 0 0 1 0 11' }],
  swap: [{ path: 'M4 8.5h13.5M14 5l3.5 3.5L14 12M20 15.5H6.5M10 12l-3.5 3.5L10 19' }],
  user: [{ circle: [12, 8, 4.2] }, { path: 'M4 20.5c.8-4 4-6 8-6s7.2 2 8 6' }],
  video: [{ rect: [2.5, 6, 13, 12, 2.5] }, { path: 'm15.5 10.5 6-3v9l-6-3z' }],
  videoOff: [{ path: 'M6.5 6H13a2.5 2.5 0 0 1 2.5 2.5v2l6-3v9l-3-1.5M15.5 15.5A2.5 2.5 0 0 1 13 18H5a2.5 2.5 0 0 1-2.5-2.5v-7c0-.8.4-1.5 1-2M3 3l18 18' }],
  warn: [{ path: 'M12 3.5 2.5 20h19z' }, { path: 'M12 10v4.5M12 17.3v.1' }],
  wifi: [{ path: 'M2.5 9.5a14 14 0 0 1 19 0M5.8 13a9.2 9.2 0 0 1 12.4 0M9 16.5a4.6 4.6 0 0 1 6 0' }, { circle: [12, 19.6, 1], fill: true }],
} as const satisfies Record<string, readonly Shape[]>;

export type IconName = keyof typeof ICONS;
