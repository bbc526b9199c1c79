/**
 * Errors and notices as words with one cure.
 *
 * Belongs here: which sentence and which cure a value of the shell calls for. Not here: the sentences (`en.ts`), doing the cure (`state/`).
 */
import type { AppError, Notice, Ports, Trouble } from '../generated/bindings';
import type { Dictionary } from './en';

/** What one press can do about it. */
export type Cure =
  | { kind: 'usePort'; setting: string; port: number }
  | { kind: 'refreshDevices' }
  | { kind: 'openSettings'; section: 'connection' | 'pictureAndSound' }
  | { kind: 'retryNow' };

export interface Words {
  text: string;
  tone: 'look' | 'refused';
  cure: { label: string; action: Cure } | null;
  /** For whoever is asked for help; small and last. */
  support: string | null;
}

const look = (text: string, label?: string, action?: Cure): Words => ({
  text,
  tone: 'look',
  cure: label !== undefined && action !== undefined ? { label, action } : null,
  support: null,
});

type PortTaken = Extract<Notice, { kind: 'portTaken' }>;

function portTaken(t: Dictionary, taken: PortTaken | Extract<AppError, { kind: 'portTaken' }>): Words {
  const { program, port, free, setting } = taken;
  return free === null
    ? look(t.notices.portTakenNoneFree(program, port), t.notices.openSettings, { kind: 'openSettings', section: 'connection' })
    : look(t.notices.portTaken(program, port, free), t.notices.usePort(free), { kind: 'usePort', setting, port: free });
}

/** What is not there or not allowed is looked for again; instead of what is there and of no use, another can be chosen. */
function deviceCure(t: Dictionary, trouble: Trouble): [string, Cure] {
  const n = t.notices;
  switch (trouble) {
    case 'missing':
      return [n.lookAgain, { kind: 'refreshDevices' }];
    case 'busy':
    case 'denied':
      return [n.tryAgain, { kind: 'refreshDevices' }];
    case 'lost':
    case 'hung':
    case 'failed':
      return [n.choose, { kind: 'openSettings', section: 'pictureAndSound' }];
  }
}

export function noticeWords(t: Dictionary, notice: Notice): Words {
  const n = t.notices;
  switch (notice.kind) {
    case 'device': {
      const words = n.device[notice.device][notice.trouble];
      const text = typeof words === 'string' ? words : words(notice.name);
      const [label, action] = deviceCure(t, notice.trouble);
      return look(text, label, action);
    }
    case 'mutedButSpeaking':
      return look(n.mutedButSpeaking);
    case 'portTaken':
      return portTaken(t, notice);
  }
}

export function errorWords(t: Dictionary, error: AppError): Words {
  const e = t.errors;
  const settings = { label: e.openSettings, action: { kind: 'openSettings', section: 'connection' } as const };
  const refused = (text: string, support: string | null = null): Words => ({ text, tone: 'refused', cure: settings, support });
  switch (error.kind) {
    case 'portTaken':
      return portTaken(t, error);
    case 'serverRefused':
      return refused(e.serverRefused(error.address));
    case 'serverTimeout':
      return refused(e.serverTimeout(error.address));
    case 'serverUnauthorized':
      return refused(e.serverUnauthorized(error.address));
    case 'serverNotFound':
      return refused(e.serverNotFound(error.address));
    case 'serverOther':
      return refused(e.serverOther(error.address), t.common.forSupport(error.detail));
    case 'invalidSetting':
      return refused(e.invalidSetting(settingName(t, error.field)));
    case 'internal':
      return { text: e.internal, tone: 'refused', cure: null, support: t.common.forSupport(error.detail) };
  }
}

/** A settings field by the name it has on screen; `ports.rtmp` and `rtmp` are the same port. */
export function settingName(t: Dictionary, field: string): string {
  const s = t.settings;
  const last = field.split('.').at(-1) ?? field;
  const names: Record<string, string> = {
    server: s.server,
    address: s.address,
    user: s.user,
    password: s.password,
    doctorStream: s.yours,
    patientStream: s.patients,
    network: s.network,
    camera: t.devices.camera,
    microphone: t.devices.microphone,
    speaker: t.devices.speaker,
    width: s.size,
    height: s.size,
    fps: s.rate,
    bitrateKbps: s.bitrate,
    ports: s.ports,
    serverPorts: s.serverPorts,
    whip: s.portNames.webrtcHttp,
  };
  return s.portNames[last as keyof Ports] ?? names[last] ?? field;
}
