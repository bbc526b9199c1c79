/**
 * A shell that is not there: canned views and painted people, for tests and for looking at screens in a plain browser.
 *
 * Belongs here: answers as the shell would give them. Not here: anything that ships (`main.ts` leaves this module out of a build).
 */
import type { AppError, AppView, DelayParts, SettingsView, VisitView } from './generated/bindings';
import type { Ipc } from './ipc';
import { Painter, type Drawable } from './player/painter';
import type { MeterMessage, Player } from './player/player';
import type { Section } from './state/app.svelte';
import { preferences } from './state/preferences.svelte';

const NO_DELAY: DelayParts = { networkMs: null, queueMs: null, holdMs: null, codecMs: null, displayMs: null, jitterMs: null, totalMs: null };

export function settings(change: Partial<SettingsView> = {}): SettingsView {
  return {
    language: 'en',
    appearance: 'system',
    server: { kind: 'thisComputer' },
    doctorStream: 'doctorStream',
    patientStream: 'patientStream',
    openNames: false,
    network: null,
    ports: { rtmp: 1935, hls: 8888, webrtcHttp: 8889, webrtcUdp: 8189 },
    camera: null,
    microphone: null,
    speaker: null,
    width: 640,
    height: 480,
    fps: 30,
    bitrateKbps: 1200,
    releaseMicrophone: false,
    ...change,
  };
}

export function visit(change: Partial<VisitView> = {}): VisitView {
  return {
    phase: { kind: 'ready' },
    startedAtMs: null,
    muted: false,
    cameraOff: false,
    remote: { picture: 'none', sound: false, width: 0, height: 0 },
    delay: { incoming: NO_DELAY, outgoing: NO_DELAY, estimated: false },
    patient: null,
    notices: [],
    ...change,
  };
}

export function view(change: Partial<AppView> = {}): AppView {
  return {
    version: '0.1.0',
    settings: settings(),
    devices: {
      cameras: [{ id: 'v4l2:0', name: 'Logitech C920', isDefault: true }],
      microphones: [
        { id: 'mic:1', name: 'Logitech C920', isDefault: true },
        { id: 'mic:2', name: 'Built-in microphone', isDefault: false },
      ],
      speakers: [{ id: 'out:1', name: 'Built-in speakers', isDefault: true }],
      camera: { kind: 'open', name: 'Logitech C920' },
      microphone: { kind: 'open', name: 'Logitech C920' },
      speaker: { kind: 'open', name: 'Built-in speakers' },
    },
    networks: [
      { interface: 'wlan0', address: '192.168.1.23', kind: 'wifi', suggested: true },
      { interface: 'eth0', address: '10.0.0.8', kind: 'cable', suggested: false },
      { interface: 'tailscale0', address: '100.64.0.2', kind: 'vpn', suggested: false },
      { interface: 'lo', address: '127.0.0.1', kind: 'loopback', suggested: false },
    ],
    visit: visit(),
    playerUrl: '',
    ...change,
  };
}

const PATIENT = {
  pushRtmp: 'rtmp://192.168.1.23:1935/patientStream?token=k7Qm2xV9tB4c',
  playRtmp: 'rtmp://192.168.1.23:1935/doctorStream_aac?token=k7Qm2xV9tB4c',
  playFlv: 'http://192.168.1.23:8888/doctorStream_aac.flv?token=k7Qm2xV9tB4c',
  playHls: 'http://192.168.1.23:8888/doctorStream/index.m3u8?token=k7Qm2xV9tB4c',
  validity: 'thisVisit' as const,
};

export const waiting = (change: Partial<VisitView> = {}) => visit({ phase: { kind: 'waiting' }, startedAtMs: Date.now() - 20_000, patient: PATIENT, ...change });

export const live = (change: Partial<VisitView> = {}) =>
  visit({
    phase: { kind: 'live' },
    startedAtMs: Date.now() - 724_000,
    patient: PATIENT,
    remote: { picture: 'live', sound: true, width: 960, height: 720 },
    delay: {
      incoming: { networkMs: 120, queueMs: 2, holdMs: 30, codecMs: 12, displayMs: 18, jitterMs: 90, totalMs: 210 },
      outgoing: { networkMs: 280, queueMs: 4, holdMs: null, codecMs: 16, displayMs: null, jitterMs: null, totalMs: 300 },
      estimated: true,
    },
    ...change,
  });

const TIMEOUT: AppError = { kind: 'serverTimeout', address: '10.0.0.5' };

/** The screens worth looking at, by the name in `?fake=`. */
const STATES: Record<string, () => AppView> = {
  home: () => view(),
  'home-starting': () => view({ visit: visit({ phase: { kind: 'starting' } }) }),
  'home-synthetic': () => {
    const v = view({ visit: visit({ notices: [{ kind: 'device', device: 'camera', trouble: 'missing', name: '' }, { kind: 'device', device: 'microphone', trouble: 'missing', name: '' }] }) });
    return { ...v, devices: { ...v.devices, cameras: [], microphones: [], camera: { kind: 'synthetic' }, microphone: { kind: 'synthetic' } } };
  },
  'home-problem': () => {
    const v = view({
      visit: visit({
        notices: [
          { kind: 'portTaken', setting: 'rtmp', port: 1935, program: 'nginx', free: 1937 },
          { kind: 'device', device: 'camera', trouble: 'busy', name: 'Logitech C920' },
        ],
      }),
    });
    return { ...v, devices: { ...v.devices, camera: { kind: 'busy', name: 'Logitech C920' } } };
  },
  'visit-waiting': () => view({ visit: waiting() }),
  'visit-live': () => view({ visit: live() }),
  'visit-upright': () => view({ visit: live() }),
  'visit-muted': () => view({ visit: live({ muted: true, notices: [{ kind: 'mutedButSpeaking' }] }) }),
  'visit-camera-off': () => view({ visit: live({ cameraOff: true }) }),
  'visit-sound-only': () => view({ visit: live({ remote: { picture: 'none', sound: true, width: 0, height: 0 } }) }),
  'visit-frozen': () => view({ visit: live({ remote: { picture: 'frozen', sound: true, width: 960, height: 720 } }) }),
  'visit-lost': () => view({ visit: waiting({ phase: { kind: 'reconnecting', attempt: 2, retryInMs: 8000, error: TIMEOUT }, patient: null }) }),
  'visit-camera-busy': () => {
    const v = view({ visit: live({ notices: [{ kind: 'device', device: 'camera', trouble: 'busy', name: 'Logitech C920' }] }) });
    return { ...v, devices: { ...v.devices, camera: { kind: 'busy', name: 'Logitech C920' } } };
  },
  'visit-server': () =>
    view({
      settings: settings({ server: { kind: 'address', address: 'clinic.example.org', user: '', password: '', ports: { whip: 8889, rtmp: 1935, hls: 8888 } } }),
      visit: waiting({
        patient: {
          pushRtmp: 'rtmp://clinic.example.org:1935/patientStream',
          playRtmp: 'rtmp://clinic.example.org:1935/doctorStream_aac',
          playFlv: 'http://clinic.example.org:8888/doctorStream_aac.flv',
          playHls: 'http://clinic.example.org:8888/doctorStream/index.m3u8',
          validity: 'server',
        },
      }),
    }),
  'visit-notice': () => view({ visit: live({ notices: [{ kind: 'device', device: 'microphone', trouble: 'lost', name: 'Jabra Speak 510' }] }) }),
  settings: () => view(),
  'settings-server': () => view({ settings: settings({ server: { kind: 'address', address: 'clinic.example.org', user: 'lin', password: 'secret', ports: { whip: 8889, rtmp: 1935, hls: 8888 } } }) }),
  'settings-ports': () => view({ visit: visit({ notices: [{ kind: 'portTaken', setting: 'rtmp', port: 1935, program: 'nginx', free: 1937 }] }) }),
  'settings-sound': () => view(),
  'settings-keyboard': () => view(),
};

export type Call = readonly [name: string, argument?: unknown];

/** Answers at once, remembers what was asked, and shows what it is told to show. */
export class FakeIpc implements Ipc {
  readonly calls: Call[] = [];
  #view: AppView;
  #handlers = new Set<(view: AppView) => void>();
  #failure: { name: string; error: unknown } | null = null;

  constructor(first: AppView) {
    this.#view = first;
  }

  get view(): AppView {
    return this.#view;
  }

  /** As if the shell's state had changed. */
  push(change: Partial<AppView>): void {
    this.#view = { ...this.#view, ...change };
    for (const handler of this.#handlers) handler(this.#view);
  }

  pushVisit(change: Partial<VisitView>): void {
    this.push({ visit: { ...this.#view.visit, ...change } });
  }

  /** The next call of `name` rejects with `error`. */
  fail(name: string, error: unknown): void {
    this.#failure = { name, error };
  }

  snapshot = async () => this.#view;
  startConsultation = () => this.call('start_consultation');
  endConsultation = () => this.call('end_consultation');
  retryNow = () => this.call('retry_now');
  usePort = (setting: string, port: number) => this.call('use_port', { setting, port });
  setFullscreen = (on: boolean) => this.call('set_fullscreen', { on });

  async setMuted(muted: boolean): Promise<void> {
    await this.call('set_muted', { muted });
    this.pushVisit({ muted });
  }

  async setCameraOff(off: boolean): Promise<void> {
    await this.call('set_camera_off', { off });
    this.pushVisit({ cameraOff: off });
  }

  async updateSettings(changed: SettingsView): Promise<AppView> {
    await this.call('update_settings', { settings: changed });
    this.push({ settings: changed });
    return this.#view;
  }

  async refreshDevices(): Promise<AppView> {
    await this.call('refresh_devices');
    return this.#view;
  }

  async onAppChanged(handler: (view: AppView) => void): Promise<() => void> {
    this.#handlers.add(handler);
    return () => this.#handlers.delete(handler);
  }

  protected async call(name: string, argument?: unknown): Promise<void> {
    this.calls.push(argument === undefined ? [name] : [name, argument]);
    if (this.#failure?.name === name) {
      const { error } = this.#failure;
      this.#failure = null;
      throw error;
    }
  }
}

/** One that lives: a start leads to a patient after a while. Only for looking at. */
class LivelyIpc extends FakeIpc {
  protected override async call(name: string, argument?: unknown): Promise<void> {
    await super.call(name, argument);
    const after = (ms: number, change: () => void) => setTimeout(change, ms);
    if (name === 'start_consultation') {
      this.push({ visit: visit({ phase: { kind: 'starting' } }) });
      after(900, () => this.push({ visit: waiting() }));
      after(6000, () => this.view.visit.phase.kind === 'waiting' && this.push({ visit: live({ startedAtMs: Date.now() }) }));
    } else if (name === 'end_consultation') {
      this.pushVisit({ phase: { kind: 'ending' } });
      after(600, () => this.push({ visit: visit() }));
    } else if (name === 'retry_now') {
      after(800, () => this.push({ visit: live() }));
    } else if (name === 'use_port') {
      this.pushVisit({ notices: [] });
    }
  }
}

/** Pictures and levels from nowhere. */
export class FakePlayer implements Player {
  readonly own = new Painter();
  readonly remote = new Painter();
  #meters = new Set<(meter: MeterMessage) => void>();

  connect(): void {
    // There is nothing to connect to.
  }
  close(): void {
    this.#meters.clear();
  }
  onMeter(listener: (meter: MeterMessage) => void): () => void {
    this.#meters.add(listener);
    return () => this.#meters.delete(listener);
  }
  meter(change: Partial<MeterMessage> = {}): void {
    for (const listener of this.#meters) listener({ kind: 'meter', muted: false, micRms: 0.1, micPeak: 0.2, remoteRms: 0, remotePeak: 0, ...change });
  }
}

/** A slowly nodding level, and the same two people at every repaint. */
function animate(player: FakePlayer, upright: boolean): void {
  let phase = 0;
  setInterval(() => {
    phase += 0.35;
    player.meter({ micRms: 0.06 + 0.05 * Math.sin(phase) });
  }, 50);
  const load = (name: 'doctor' | 'patient') =>
    new Promise<HTMLImageElement>((resolve) => {
      const image = new Image();
      image.onload = () => resolve(image);
      image.src = name === 'doctor' ? new URL('./fake/doctor.svg', import.meta.url).href : new URL('./fake/patient.svg', import.meta.url).href;
    });
  void Promise.all([load('doctor'), load('patient')]).then(([doctor, patient]) => {
    let sequence = 0;
    setInterval(() => {
      sequence += 1;
      player.own.show(painted(doctor, 320, 240, true), sequence);
      player.remote.show(upright ? painted(patient, 540, 960, false) : painted(patient, 960, 720, false), sequence);
    }, 100);
  });
}

/** `image` cut to these sides, as a camera would. */
function painted(image: HTMLImageElement, width: number, height: number, mirrored: boolean): Drawable {
  const canvas = document.createElement('canvas');
  canvas.width = width;
  canvas.height = height;
  const scale = Math.max(width / image.naturalWidth, height / image.naturalHeight);
  const w = image.naturalWidth * scale;
  const h = image.naturalHeight * scale;
  canvas.getContext('2d')?.drawImage(image, (width - w) / 2, (height - h) / 2, w, h);
  return { source: canvas, width, height, mirrored, close: () => undefined };
}

const SECTIONS: Record<string, Section> = { 'settings-sound': 'pictureAndSound', 'settings-keyboard': 'keyboard' };

/** For `main.ts`: the state named, in the language and theme the address asks for (`?fake=visit-live&lang=zh-CN&theme=dark&advanced`). */
export function createFake(name: string): { ipc: Ipc; player: Player; section: Section | null } {
  const first = (STATES[name] ?? STATES['home']!)();
  const asked = new URLSearchParams(location.search);
  const language = asked.get('lang') === 'zh-CN' ? 'zh-CN' : 'en';
  const theme = asked.get('theme');
  const appearance = theme === 'dark' || theme === 'light' ? theme : 'system';
  if (asked.has('advanced')) preferences.advanced = true;
  const player = new FakePlayer();
  animate(player, name === 'visit-upright');
  const ipc = new LivelyIpc({ ...first, settings: { ...first.settings, language, appearance } });
  return { ipc, player, section: name.startsWith('settings') ? (SECTIONS[name] ?? 'connection') : null };
}
