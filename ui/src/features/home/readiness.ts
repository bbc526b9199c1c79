/**
 * What a patient would see and hear if the visit began now.
 *
 * Belongs here: device states to the key of one honest sentence. Not here: the sentences (`i18n/`).
 */
import type { DeviceKind, DeviceState, Notice } from '../../generated/bindings';
import type { Dictionary } from '../../i18n/index.svelte';

export type Readiness = keyof Dictionary['home']['readiness'];

/** Is something wrong with it, so that a notice speaks of it? */
export function isAmiss(device: DeviceKind, notices: readonly Notice[]): boolean {
  return notices.some((n) => n.kind === 'device' && n.device === device);
}

export function readiness(camera: DeviceState, microphone: DeviceState, notices: readonly Notice[]): Readiness {
  const chosen = (device: DeviceKind, state: DeviceState) => state.kind === 'synthetic' && !isAmiss(device, notices);
  if (chosen('camera', camera) && chosen('microphone', microphone)) return 'test';
  const sees = camera.kind === 'open' ? 'you' : camera.kind === 'synthetic' ? 'card' : 'nothing';
  const hears = microphone.kind === 'open' ? 'you' : microphone.kind === 'synthetic' ? 'beep' : 'nothing';
  return `${sees}-${hears}`;
}

/** A device in one line of a tile: its name where it has one, else what stands in or what is wrong. */
export function deviceLine(t: Dictionary, which: 'camera' | 'microphone' | 'speaker', state: DeviceState): string {
  const d = t.devices;
  switch (state.kind) {
    case 'open':
      return state.name === '' ? d.open : state.name;
    case 'synthetic':
      return { camera: d.testCard, microphone: d.testTone, speaker: d.silentSpeaker }[which];
    case 'off':
      return d.off;
    case 'missing':
      return d.missing;
    case 'busy':
      return d.busy(state.name);
    case 'denied':
      return d.denied;
    case 'lost':
      return d.lost(state.name);
    case 'hung':
      return d.hung(state.name);
    case 'failed':
      return d.failed(state.name);
  }
}

/** How a tile marks a device: `none` for one that is given up, or replaced, by choice. */
export function deviceMark(device: DeviceKind, state: DeviceState, notices: readonly Notice[]): 'ok' | 'look' | 'none' {
  if (state.kind === 'open') return 'ok';
  return isAmiss(device, notices) ? 'look' : 'none';
}
