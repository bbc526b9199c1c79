/**
 * What the window knows: the last view of the shell, what is under way, what went wrong.
 *
 * Belongs here: calling commands, keeping edits until they are taken, the state around a cure. Not here: words (`i18n/`), drawing (`features/`).
 */
import type { AppError, AppView, SettingsView } from '../generated/bindings';
import { asAppError, type Ipc } from '../ipc';
import type { Cure } from '../i18n/words';

export type Section = 'connection' | 'pictureAndSound' | 'keyboard';
type Task = 'start' | 'end' | 'mute' | 'camera' | 'retry' | 'devices' | 'port' | 'fullscreen' | 'settings';

/** Phases in which the visit has the window. */
const IN_VISIT: ReadonlySet<AppView['visit']['phase']['kind']> = new Set(['waiting', 'live', 'reconnecting', 'ending']);

export class AppStore {
  readonly #ipc: Ipc;
  #view: AppView = $state.raw()!;
  /** Edits the shell has not confirmed yet; they are what the user sees. */
  #edited: SettingsView | null = $state.raw(null);
  #sending = false;

  /** When the view came, for countdowns: `performance.now()`. */
  receivedAt = $state(0);
  /** What a command answered instead of success. */
  fault: AppError | null = $state.raw(null);
  /** A settings field the shell refused. */
  refusedField: string | null = $state(null);
  busy: Record<Task, boolean> = $state({
    start: false,
    end: false,
    mute: false,
    camera: false,
    retry: false,
    devices: false,
    port: false,
    fullscreen: false,
    settings: false,
  });
  fullscreen = $state(false);
  /** The settings screen, open at this section; `null` when closed. */
  settingsAt: Section | null = $state(null);
  /** The other side or the server has been there in this visit. */
  wasConnected = $state(false);

  readonly visit = $derived.by(() => this.#view.visit);
  readonly settings: SettingsView = $derived.by(() => this.#edited ?? this.#view.settings);
  readonly inVisit = $derived.by(() => IN_VISIT.has(this.#view.visit.phase.kind));
  readonly starting = $derived.by(() => this.busy.start || this.#view.visit.phase.kind === 'starting');
  readonly ending = $derived.by(() => this.busy.end || this.#view.visit.phase.kind === 'ending');

  constructor(ipc: Ipc, view: AppView) {
    this.#ipc = ipc;
    this.#take(view);
  }

  /** Subscribes first and asks then, so that no change falls between. */
  static async open(ipc: Ipc): Promise<AppStore> {
    let store: AppStore | null = null;
    let early: AppView | null = null;
    await ipc.onAppChanged((view) => {
      if (store === null) early = view;
      else store.#take(view);
    });
    const first = await ipc.snapshot();
    store = new AppStore(ipc, early ?? first);
    return store;
  }

  get view(): AppView {
    return this.#view;
  }

  start(): Promise<void> {
    if (this.starting || this.inVisit) return Promise.resolve();
    return this.#run('start', () => this.#ipc.startConsultation());
  }

  end(): Promise<void> {
    if (this.ending || !this.inVisit) return Promise.resolve();
    return this.#run('end', () => this.#ipc.endConsultation());
  }

  setMuted(muted: boolean): Promise<void> {
    return this.#run('mute', () => this.#ipc.setMuted(muted));
  }

  setCameraOff(off: boolean): Promise<void> {
    return this.#run('camera', () => this.#ipc.setCameraOff(off));
  }

  retryNow(): Promise<void> {
    return this.#run('retry', () => this.#ipc.retryNow());
  }

  refreshDevices(): Promise<void> {
    return this.#run('devices', async () => this.#take(await this.#ipc.refreshDevices()));
  }

  usePort(setting: string, port: number): Promise<void> {
    return this.#run('port', () => this.#ipc.usePort(setting, port));
  }

  async setFullscreen(on: boolean): Promise<void> {
    this.fullscreen = on;
    await this.#run('fullscreen', () => this.#ipc.setFullscreen(on));
    if (this.fault !== null) this.fullscreen = !on;
  }

  cure(cure: Cure): Promise<void> {
    switch (cure.kind) {
      case 'usePort':
        return this.usePort(cure.setting, cure.port);
      case 'refreshDevices':
        return this.refreshDevices();
      case 'retryNow':
        return this.retryNow();
      case 'openSettings':
        this.fault = null;
        this.settingsAt = cure.section;
        return Promise.resolve();
    }
  }

  /** Keeps the change at once on screen and in the shell; changes that come meanwhile go together in the next call. */
  async change(change: Partial<SettingsView>): Promise<void> {
    this.#edited = { ...this.settings, ...change };
    this.refusedField = null;
    if (this.#sending) return;
    this.#sending = true;
    this.busy.settings = true;
    try {
      for (;;) {
        const sent: SettingsView = this.#edited;
        const view = await this.#ipc.updateSettings(sent);
        this.#take(view);
        if (this.#edited === sent) break;
      }
      this.fault = null;
    } catch (thrown) {
      const error = asAppError(thrown);
      if (error.kind === 'invalidSetting') this.refusedField = error.field;
      else this.fault = error;
    } finally {
      this.#edited = null;
      this.#sending = false;
      this.busy.settings = false;
    }
  }

  #take(view: AppView): void {
    const before = this.#view as AppView | undefined;
    this.#view = view;
    this.receivedAt = performance.now();
    const phase = view.visit.phase.kind;
    if (phase === 'ready' || phase === 'starting') this.wasConnected = false;
    if (phase === 'waiting' || phase === 'live') this.wasConnected = true;
    // What was refused before concerns a state that is gone.
    if (before !== undefined && phase !== before.visit.phase.kind && phase !== 'ready') this.fault = null;
  }

  async #run(task: Task, call: () => Promise<void>): Promise<void> {
    this.busy[task] = true;
    this.fault = null;
    try {
      await call();
    } catch (thrown) {
      this.fault = asAppError(thrown);
    } finally {
      this.busy[task] = false;
    }
  }
}
