/**
 * The shell, as the window sees it: one function per command, one subscription per event.
 *
 * Belongs here: names, arguments and answers of what crosses. Not here: what to do with them (`state/`), pictures (`player/`).
 * This is the only module that imports the shell's library.
 */
import { invoke } from '@tauri-apps/api/core';
import { listen } from '@tauri-apps/api/event';
import type { AppError, AppView, SettingsView } from './generated/bindings';

/** Every call may reject; `asAppError` turns what was thrown into an `AppError`. */
export interface Ipc {
  snapshot(): Promise<AppView>;
  startConsultation(): Promise<void>;
  endConsultation(): Promise<void>;
  setMuted(muted: boolean): Promise<void>;
  setCameraOff(off: boolean): Promise<void>;
  retryNow(): Promise<void>;
  updateSettings(settings: SettingsView): Promise<AppView>;
  refreshDevices(): Promise<AppView>;
  usePort(setting: string, port: number): Promise<void>;
  setFullscreen(on: boolean): Promise<void>;
  /** Calls `handler` with every later view; resolves to the way to stop. */
  onAppChanged(handler: (view: AppView) => void): Promise<() => void>;
}

export const tauri: Ipc = {
  snapshot: () => invoke<AppView>('snapshot'),
  startConsultation: () => invoke('start_consultation'),
  endConsultation: () => invoke('end_consultation'),
  setMuted: (muted) => invoke('set_muted', { muted }),
  setCameraOff: (off) => invoke('set_camera_off', { off }),
  retryNow: () => invoke('retry_now'),
  updateSettings: (settings) => invoke<AppView>('update_settings', { settings }),
  refreshDevices: () => invoke<AppView>('refresh_devices'),
  usePort: (setting, port) => invoke('use_port', { setting, port }),
  setFullscreen: (on) => invoke('set_fullscreen', { on }),
  onAppChanged: (handler) => listen<AppView>('app-changed', (event) => handler(event.payload)),
};

const KNOWN: Record<AppError['kind'], true> = {
  portTaken: true,
  serverRefused: true,
  serverTimeout: true,
  serverUnauthorized: true,
  serverNotFound: true,
  serverOther: true,
  invalidSetting: true,
  internal: true,
};

/** What a command threw, as something the dictionary has words for. */
export function asAppError(thrown: unknown): AppError {
  if (typeof thrown === 'object' && thrown !== null && 'kind' in thrown && typeof thrown.kind === 'string' && thrown.kind in KNOWN) {
    return thrown as AppError;
  }
  return { kind: 'internal', detail: thrown instanceof Error ? thrown.message : String(thrown) };
}
