import { render, screen, within } from '@testing-library/svelte';
import userEvent from '@testing-library/user-event';
import { beforeEach, describe, expect, it, vi } from 'vitest';
import App from './App.svelte';
import type { AppError, AppView, Language, Trouble, Validity } from './generated/bindings';
import { DICTIONARIES } from './i18n/index.svelte';
import { FakeIpc, FakePlayer, live, settings, view, visit, waiting } from './ipc.fake';
import { AppStore } from './state/app.svelte';
import { preferences } from './state/preferences.svelte';

const en = DICTIONARIES.en;
const zh = DICTIONARIES['zh-CN'];

async function open(first: AppView = view()) {
  const ipc = new FakeIpc(first);
  const player = new FakePlayer();
  const app = await AppStore.open(ipc);
  render(App, { app, player });
  return { ipc, app, player, user: userEvent.setup() };
}
const by = (id: string) => screen.getByTestId(id);
const names = (ipc: FakeIpc) => ipc.calls.map(([name]) => name);
const picture = (sequence: number) => [{ source: document.createElement('canvas'), width: 64, height: 48, mirrored: true, close: vi.fn() }, sequence] as const;

beforeEach(() => {
  preferences.advanced = false;
  preferences.singleLetters = true;
});

describe('from start to end', () => {
  it('is busy, waits, is live, ends', async () => {
    const { ipc, user } = await open();
    const root = document.documentElement;
    expect(root.dataset['phase']).toBe('ready');
    expect(by('state')).toHaveTextContent(en.home.readiness['you-you']);

    await user.click(by('start'));
    expect(names(ipc)).toEqual(['start_consultation']);
    ipc.push({ visit: visit({ phase: { kind: 'starting' } }) });
    await vi.waitFor(() => expect(by('start')).toHaveTextContent(en.home.starting));
    expect(by('start')).toHaveAttribute('aria-busy', 'true');
    await user.click(by('start'));
    expect(names(ipc)).toEqual(['start_consultation']);

    ipc.push({ visit: waiting() });
    await vi.waitFor(() => expect(by('state')).toHaveTextContent(en.state.waiting));
    expect(root.dataset['phase']).toBe('waiting');
    expect(screen.getByText(en.visit.waitingTitle, { selector: 'h2' })).toBeInTheDocument();
    expect(screen.getByRole('heading', { name: en.visit.patientPanel })).toBeInTheDocument();
    expect(document.body).toHaveTextContent('rtmp://192.168.1.23:1935/patientStream?token=k7Qm2xV9tB4c');

    ipc.push({ visit: live() });
    await vi.waitFor(() => expect(by('state')).toHaveTextContent(en.state.live));
    expect(root.dataset['phase']).toBe('live');
    expect(by('delay')).toHaveTextContent(/Good\s*0\.3 s/);
    expect(screen.queryByRole('heading', { name: en.visit.patientPanel })).toBeNull();

    await user.click(by('end'));
    expect(names(ipc)).toEqual(['start_consultation', 'end_consultation']);
    ipc.push({ visit: visit({ phase: { kind: 'ending' } }) });
    await vi.waitFor(() => expect(by('end')).toHaveTextContent(en.visit.ending));
    ipc.push({ visit: visit() });
    await vi.waitFor(() => expect(by('start')).toHaveTextContent(en.home.start));
  });

  it('shows both pictures and which one was drawn last', async () => {
    const { player } = await open(view({ visit: live() }));
    player.remote.show(...picture(41));
    player.remote.show(...picture(42));
    await vi.waitFor(() => expect(by('remote-video').dataset['shown']).toBe('42'));
    player.own.show(...picture(7));
    await vi.waitFor(() => expect(by('local-video').dataset['shown']).toBe('7'));
    await vi.waitFor(() => expect(by('local-video')).toHaveClass('mirrored'));
    expect(by('remote-video')).toHaveAccessibleName(en.visit.patientPicture);
  });

  it('shows nobody the patient before', async () => {
    const clear = vi.fn();
    vi.spyOn(HTMLCanvasElement.prototype, 'getContext').mockReturnValue({ drawImage: () => undefined, clearRect: clear } as unknown as null);
    const { ipc, player } = await open(view({ visit: live() }));
    player.remote.show(...picture(1));
    const box = () => by('remote-video').parentElement!;
    await vi.waitFor(() => expect(box()).toHaveClass('drawn'));
    ipc.push({ visit: waiting() });
    await vi.waitFor(() => expect(box()).not.toHaveClass('drawn'));
    expect(clear).toHaveBeenCalled();
    ipc.push({ visit: live() });
    await vi.waitFor(() => expect(by('state')).toHaveTextContent(en.state.live));
    expect(box()).not.toHaveClass('drawn');
    player.remote.show(...picture(2));
    await vi.waitFor(() => expect(box()).toHaveClass('drawn'));
  });

  it('goes on behind the settings', async () => {
    const { ipc, player, user } = await open(view({ visit: live() }));
    const canvas = by('remote-video');
    await user.click(by('settings'));
    expect(screen.getByText(en.state.visitGoesOn, { exact: false })).toBeInTheDocument();
    player.remote.show(...picture(9));
    expect(canvas.dataset['shown']).toBe('9');
    await user.keyboard('m');
    expect(names(ipc)).toEqual(['set_muted']);
    await user.click(by('back'));
    expect(by('remote-video')).toBe(canvas);
    expect(canvas).toBeVisible();
  });

  it('has every handle of the contract', async () => {
    const { ipc, user } = await open();
    for (const id of ['start', 'settings', 'state', 'local-video', 'mic-level', 'language']) expect(by(id), id).toBeInTheDocument();
    await user.click(by('settings'));
    for (const id of ['server', 'language']) expect(by(id), id).toBeInTheDocument();
    await user.click(by('back'));
    ipc.push({ visit: live() });
    await vi.waitFor(() => by('end'));
    for (const id of ['end', 'mute', 'camera', 'swap', 'fullscreen', 'settings', 'state', 'delay', 'remote-video', 'local-video', 'mic-level']) expect(by(id), id).toBeInTheDocument();
  });
});

describe('honest', () => {
  it('says that a test card stands in', async () => {
    const missing = (['camera', 'microphone'] as const).map((device) => ({ kind: 'device', device, trouble: 'missing', name: '' }) as const);
    const first = view({ visit: visit({ notices: missing }) });
    const { ipc } = await open({ ...first, devices: { ...first.devices, camera: { kind: 'synthetic' }, microphone: { kind: 'synthetic' } } });
    expect(by('state')).toHaveTextContent(en.home.readiness['card-beep']);
    expect(screen.getByText(en.home.testCard)).toBeInTheDocument();
    expect(screen.getAllByText(en.common.needsALook)).toHaveLength(2);
    // The same by choice is nothing to look at.
    ipc.pushVisit({ notices: [] });
    await vi.waitFor(() => expect(by('state')).toHaveTextContent(en.home.readiness.test));
    expect(screen.queryByRole('alert')).toBeNull();
    expect(screen.queryByText(en.common.needsALook)).toBeNull();
  });

  it('says muted in three places, and that the microphone stays open', async () => {
    const { ipc, user } = await open(view({ visit: live() }));
    expect(by('mute')).toHaveTextContent(en.visit.mute);
    await user.click(by('mute'));
    expect(ipc.calls).toEqual([['set_muted', { muted: true }]]);
    await vi.waitFor(() => expect(by('mute')).toHaveTextContent(en.visit.unmute));
    expect(by('mute')).toHaveClass('pressed');
    expect(by('state')).toHaveTextContent(en.state.muted);
    expect(within(by('local-video').closest('figure')!).getByText(en.visit.youMuted)).toBeInTheDocument();
    expect(screen.getByText(en.visit.micStaysOpen)).toBeInTheDocument();
    ipc.push({ settings: settings({ releaseMicrophone: true }) });
    await vi.waitFor(() => expect(screen.getByText(en.visit.micReleased)).toBeInTheDocument());
    ipc.pushVisit({ notices: [{ kind: 'mutedButSpeaking' }] });
    await vi.waitFor(() => expect(screen.getByText(en.visit.mutedSpeaking)).toBeInTheDocument());
  });

  it('says that a picture stands still, and that the camera is off', async () => {
    const { ipc, user } = await open(view({ visit: live({ remote: { picture: 'frozen', sound: true, width: 1, height: 1 } }) }));
    expect(by('state')).toHaveTextContent(en.state.frozen);
    await user.click(by('camera'));
    expect(ipc.calls).toEqual([['set_camera_off', { off: true }]]);
    await vi.waitFor(() => expect(by('camera')).toHaveTextContent(en.visit.cameraOn));
    await user.click(by('swap'));
    expect(screen.getByText(en.visit.cameraOffSentence)).toBeInTheDocument();
  });

  it('counts down to the next try and tries at once when asked', async () => {
    const error: AppError = { kind: 'serverTimeout', address: '10.0.0.5' };
    const { ipc, user } = await open(view({ visit: waiting({ phase: { kind: 'reconnecting', attempt: 1, retryInMs: 4000, error } }) }));
    expect(by('state')).toHaveTextContent(en.state.noConnectionIn(4));
    expect(document.body).toHaveTextContent(en.errors.serverTimeout('10.0.0.5'));
    await user.click(screen.getByRole('button', { name: en.state.retryNow }));
    expect(names(ipc)).toEqual(['retry_now']);
  });
});

describe.each<[Language]>([['en'], ['zh-CN']])('what goes wrong, in %s', (language) => {
  const t = DICTIONARIES[language];
  it.each<[string, AppError, (d: typeof t) => string]>([
    ['a port', { kind: 'portTaken', setting: 'rtmp', port: 1935, program: 'nginx', free: 1937 }, (d) => d.notices.portTaken('nginx', 1935, 1937)],
    ['a server', { kind: 'serverUnauthorized', address: 'clinic' }, (d) => d.errors.serverUnauthorized('clinic')],
    ['something inside', { kind: 'internal', detail: 'x' }, (d) => d.errors.internal],
  ])('%s becomes words', async (_, error, words) => {
    const { ipc, user } = await open(view({ settings: settings({ language }) }));
    ipc.fail('start_consultation', error);
    await user.click(by('start'));
    await vi.waitFor(() => expect(screen.getByRole('alert')).toHaveTextContent(words(t)));
    expect(by('start')).toHaveTextContent(t.home.start);
    if (error.kind === 'portTaken') {
      await user.click(screen.getByRole('button', { name: t.notices.usePort(1937) }));
      expect(ipc.calls.at(-1)).toEqual(['use_port', { setting: 'rtmp', port: 1937 }]);
      await vi.waitFor(() => expect(screen.queryByRole('alert')).toBeNull());
    }
  });

  it('two ports at once, each with its cure', async () => {
    const taken = (setting: string, port: number) => ({ kind: 'portTaken', setting, port, program: null, free: port + 2 }) as const;
    await open(view({ settings: settings({ language }), visit: visit({ notices: [taken('rtmp', 1935), taken('hls', 8888)] }) }));
    expect(screen.getByRole('button', { name: t.notices.usePort(1937) })).toBeInTheDocument();
    expect(screen.getByRole('button', { name: t.notices.usePort(8890) })).toBeInTheDocument();
  });

  it('what is no error of the shell is said too', async () => {
    const { ipc, user } = await open(view({ settings: settings({ language }) }));
    ipc.fail('start_consultation', 'command start_consultation not found');
    await user.click(by('start'));
    await vi.waitFor(() => expect(screen.getByRole('alert')).toHaveTextContent('command start_consultation not found'));
  });
});

describe.each<[Language]>([['en'], ['zh-CN']])('a device in trouble, in %s', (language) => {
  const t = DICTIONARIES[language];
  it.each<[Trouble, string]>([
    ['missing', 'refresh_devices'],
    ['busy', 'refresh_devices'],
    ['denied', 'refresh_devices'],
    ['lost', 'settings'],
    ['hung', 'settings'],
    ['failed', 'settings'],
  ])('%s: words, one next step, and the visit goes on', async (trouble, step) => {
    const { ipc, app, user } = await open(view({ settings: settings({ language }), visit: live() }));
    const state = trouble === 'missing' ? ({ kind: 'synthetic' } as const) : trouble === 'denied' ? ({ kind: 'denied' } as const) : ({ kind: trouble, name: 'C920' } as const);
    ipc.push({ devices: { ...ipc.view.devices, camera: state } });
    ipc.pushVisit({ notices: [{ kind: 'device', device: 'camera', trouble, name: 'C920' }] });
    const said = t.notices.device.camera[trouble];
    await vi.waitFor(() => expect(screen.getByRole('alert')).toHaveTextContent(typeof said === 'string' ? said : said('C920')));
    expect(by('state')).toHaveTextContent(t.state.live);
    if (trouble !== 'missing') {
      await user.click(by('swap'));
      expect(screen.getByText(t.visit.noOwnPicture)).toBeInTheDocument();
      expect(screen.queryByText(t.visit.cameraOffCard)).toBeNull();
    }
    await user.click(within(screen.getByRole('alert')).getByRole('button'));
    if (step === 'settings') expect(app.settingsAt).toBe('pictureAndSound');
    else expect(names(ipc)).toEqual([step]);
    // It is back.
    ipc.pushVisit({ notices: [] });
    await vi.waitFor(() => expect(screen.queryByRole('alert')).toBeNull());
  });
});

describe.each<[Language]>([['en'], ['zh-CN']])('for how long addresses work, in %s', (language) => {
  const t = DICTIONARIES[language];
  it.each<[Validity]>([['thisVisit'], ['openNames'], ['server']])('%s', async (validity) => {
    const visit = waiting();
    await open(view({ settings: settings({ language }), visit: { ...visit, patient: { ...visit.patient!, validity } } }));
    expect(by('validity')).toHaveTextContent(t.visit.addresses.validity[validity]);
    expect(document.body).toHaveTextContent(validity === 'server' ? t.visit.waitingSentenceServer : t.visit.waitingSentence);
  });
});

describe('language', () => {
  it('switches live, everywhere', async () => {
    const { user } = await open();
    await user.click(by('language'));
    await vi.waitFor(() => expect(by('start')).toHaveTextContent(zh.home.start));
    expect(document.documentElement.lang).toBe('zh-CN');
    expect(document.title).toBe(zh.appName);
    await user.click(by('settings'));
    await user.click(within(by('language')).getByText('English'));
    await vi.waitFor(() => expect(screen.getByRole('heading', { level: 1 })).toHaveTextContent(en.settings.title));
  });
});

describe('keyboard', () => {
  it('starts, mutes, switches the camera, swaps, asks before the end', async () => {
    const { ipc, user } = await open();
    await user.keyboard('{Control>}{Enter}{/Control}');
    expect(names(ipc)).toEqual(['start_consultation']);
    ipc.push({ visit: live() });
    await vi.waitFor(() => by('end'));
    await user.keyboard('m');
    await user.keyboard('v');
    await user.keyboard('f');
    expect(ipc.calls.slice(1)).toEqual([
      ['set_muted', { muted: true }],
      ['set_camera_off', { off: true }],
      ['set_fullscreen', { on: true }],
    ]);
    await user.keyboard('{Escape}');
    expect(ipc.calls.at(-1)).toEqual(['set_fullscreen', { on: false }]);
    await user.keyboard('d');
    await vi.waitFor(() => expect(screen.getByRole('dialog', { name: en.delay.title })).toBeInTheDocument());
    await user.keyboard('{Escape}');
    await vi.waitFor(() => expect(screen.queryByRole('dialog')).toBeNull());
    await user.keyboard('{Control>}{Shift>}E{/Shift}{/Control}');
    await vi.waitFor(() => expect(screen.getByText(en.visit.endTitle)).toBeInTheDocument());
    expect(names(ipc)).not.toContain('end_consultation');
    await user.click(by('end-confirm'));
    expect(names(ipc).at(-1)).toBe('end_consultation');
  });

  it('talks while Space is held', async () => {
    const { ipc, user } = await open(view({ visit: live({ muted: true }) }));
    await user.keyboard('{ >}');
    expect(ipc.calls).toEqual([['set_muted', { muted: false }]]);
    await user.keyboard('{/ }');
    expect(ipc.calls.at(-1)).toEqual(['set_muted', { muted: true }]);
  });

  it('leaves letters to fields, and to those who switch them off', async () => {
    preferences.advanced = true;
    const { ipc, user } = await open(view({ visit: live() }));
    await user.keyboard('{Control>},{/Control}');
    await vi.waitFor(() => by('doctor-stream'));
    await user.click(by('doctor-stream'));
    await user.keyboard('mv');
    expect(names(ipc)).toEqual([]);
    await user.keyboard('{Escape}');
    await vi.waitFor(() => by('end'));
    preferences.singleLetters = false;
    await user.keyboard('m');
    expect(names(ipc)).not.toContain('set_muted');
  });

  it('shows its own list', async () => {
    const { user } = await open();
    await user.keyboard('?');
    await vi.waitFor(() => expect(screen.getByText(en.keys.talk)).toBeInTheDocument());
  });
});

describe('settings', () => {
  const inSettings = async (first = view()) => {
    const opened = await open(first);
    await opened.user.click(by('settings'));
    return opened;
  };
  const sent = (ipc: FakeIpc) => ipc.calls.filter(([name]) => name === 'update_settings').map(([, argument]) => (argument as { settings: AppView['settings'] }).settings);

  it('keeps a field after a pause, and says what is wrong instead', async () => {
    preferences.advanced = true;
    const { ipc, user } = await inSettings();
    const field = by('doctor-stream');
    await user.clear(field);
    await user.type(field, 'room 1');
    expect(field).toHaveAttribute('aria-invalid', 'true');
    expect(screen.getByText(en.settings.invalid.streamName)).toBeInTheDocument();
    await user.tab();
    expect(sent(ipc)).toEqual([]);
    await user.clear(field);
    await user.type(field, 'room-1{Enter}');
    expect(sent(ipc).map((s) => s.doctorStream)).toEqual(['room-1']);
    expect(field).not.toHaveAttribute('aria-invalid');
  });

  it('knows the ports of another server, unless its address names them', async () => {
    preferences.advanced = true;
    const { ipc, user } = await inSettings();
    await user.click(within(by('server')).getByRole('radio', { name: /Another server/ }));
    await user.type(by('server-address'), '10.0.0.5{Enter}');
    await user.clear(by('server-port-rtmp'));
    await user.type(by('server-port-rtmp'), '1936{Enter}');
    expect(sent(ipc).at(-1)?.server).toEqual({ kind: 'address', address: '10.0.0.5', user: '', password: '', ports: { whip: 8889, rtmp: 1936, hls: 8888 } });
    await user.clear(by('server-port-whip'));
    await user.type(by('server-port-whip'), '1936');
    expect(screen.getByText(en.settings.invalid.portSame(en.settings.portNames.rtmp))).toBeInTheDocument();
    await user.clear(by('server-port-whip'));
    await user.type(by('server-port-whip'), '8889{Enter}');
    await user.clear(by('server-address'));
    await user.type(by('server-address'), '10.0.0.5:9000{Enter}');
    await vi.waitFor(() => expect(screen.queryByTestId('server-port-whip')).toBeNull());
    expect(by('server-port-rtmp')).toHaveValue('1936');
  });

  it('asks for the address before it leaves this computer', async () => {
    const ports = { whip: 8889, rtmp: 1935, hls: 8888 };
    const { ipc, user } = await inSettings();
    await user.click(within(by('server')).getByRole('radio', { name: /Another server/ }));
    expect(sent(ipc)).toEqual([]);
    await user.type(by('server-address'), ' clinic.example.org{Enter}');
    expect(sent(ipc).at(-1)?.server).toEqual({ kind: 'address', address: 'clinic.example.org', user: '', password: '', ports });
    await user.type(by('server-user'), 'lin{Enter}');
    expect(sent(ipc).at(-1)?.server).toEqual({ kind: 'address', address: 'clinic.example.org', user: 'lin', password: '', ports });
    await user.click(within(by('server')).getByRole('radio', { name: /This computer/ }));
    expect(sent(ipc).at(-1)?.server).toEqual({ kind: 'thisComputer' });
    // Back again: nothing was lost.
    await user.click(within(by('server')).getByRole('radio', { name: /Another server/ }));
    expect(sent(ipc).at(-1)?.server).toEqual({ kind: 'address', address: 'clinic.example.org', user: 'lin', password: '', ports });
  });

  it('lists every network and follows the suggestion unless told otherwise', async () => {
    const { ipc, user } = await inSettings();
    const rows = within(by('network')).getAllByRole('radio');
    expect(rows).toHaveLength(4);
    expect(rows[0]).toHaveAttribute('aria-checked', 'true');
    await user.click(rows[1]!);
    expect(sent(ipc).at(-1)?.network).toBe('eth0');
    await user.click(rows[0]!);
    expect(sent(ipc).at(-1)?.network).toBeNull();
  });

  it('sends edits that come together in order, and the last one whole', async () => {
    const { app, ipc } = await inSettings();
    const first = app.change({ fps: 25 });
    const second = app.change({ bitrateKbps: 900 });
    expect(app.settings).toMatchObject({ fps: 25, bitrateKbps: 900 });
    await Promise.all([first, second]);
    expect(sent(ipc).map(({ fps, bitrateKbps }) => [fps, bitrateKbps])).toEqual([
      [25, 1200],
      [25, 900],
    ]);
  });

  it('takes a refused value back and says so at its field', async () => {
    preferences.advanced = true;
    const { app, ipc, user } = await inSettings();
    ipc.fail('update_settings', { kind: 'invalidSetting', field: 'ports.rtmp' });
    await user.clear(by('port-rtmp'));
    await user.type(by('port-rtmp'), '2000');
    await user.tab();
    await vi.waitFor(() => expect(screen.getByText(en.settings.invalid.refused)).toBeInTheDocument());
    expect(app.settings.ports.rtmp).toBe(1935);
    expect(by('port-rtmp')).toHaveValue('1935');
  });

  it('changes the appearance at once', async () => {
    const { user } = await inSettings();
    await user.click(within(by('appearance')).getByText(en.settings.dark));
    await vi.waitFor(() => expect(document.documentElement.dataset['theme']).toBe('dark'));
  });
});
