import { describe, expect, it } from 'vitest';
import type { AppError, Notice } from '../generated/bindings';
import { elapsed, formatter } from './format';
import { DICTIONARIES, LANGUAGES } from './index.svelte';
import { errorWords, noticeWords, settingName } from './words';

type Tree = { [key: string]: string | ((...args: never[]) => string) | Tree };

/** Every leaf with its path; sentences with values are filled in with `§`, a value no sentence contains by itself. */
function leaves(tree: Tree, path = ''): [string, string][] {
  return Object.entries(tree).flatMap(([key, value]): [string, string][] => {
    const here = path === '' ? key : `${path}.${key}`;
    if (typeof value === 'string') return [[here, value]];
    if (typeof value === 'function') return [[here, (value as (...args: unknown[]) => string)('§', '§', '§')]];
    return leaves(value, here);
  });
}

describe.each(LANGUAGES)('%s', (language) => {
  const all = leaves(DICTIONARIES[language] as unknown as Tree);

  it('has a sentence for every key', () => {
    for (const [path, text] of all) expect(text.trim(), path).not.toBe('');
  });
  it('neither begs, blames nor shouts', () => {
    for (const [path, text] of all) expect(text, path).not.toMatch(/\bplease\b|\boops\b|!|！/i);
  });
  it('keeps its own language', () => {
    for (const [path, text] of all) {
      if (path === 'otherLanguageName') continue;
      if (language === 'en') expect(text, path).not.toMatch(/[\u4e00-\u9fff，。：；]/);
      else expect(text, path).not.toMatch(/[\u4e00-\u9fff][,;.!?] |’/);
    }
  });
});

it('has the same keys in both languages', () => {
  const keys = LANGUAGES.map((language) => leaves(DICTIONARIES[language] as unknown as Tree).map(([path]) => path));
  expect(keys[0]!.toSorted()).toEqual(keys[1]!.toSorted());
});

const ERRORS: AppError[] = [
  { kind: 'portTaken', setting: 'rtmp', port: 1935, program: 'nginx', free: 1937 },
  { kind: 'portTaken', setting: 'rtmp', port: 1935, program: null, free: null },
  { kind: 'serverRefused', address: '10.0.0.5' },
  { kind: 'serverTimeout', address: '10.0.0.5' },
  { kind: 'serverUnauthorized', address: '10.0.0.5' },
  { kind: 'serverNotFound', address: '10.0.0.5' },
  { kind: 'serverOther', address: '10.0.0.5', detail: 'HTTP 418' },
  { kind: 'invalidSetting', field: 'doctorStream' },
  { kind: 'internal', detail: 'poisoned' },
];
const NOTICES: Notice[] = [
  ...(['camera', 'microphone', 'speaker'] as const).flatMap((device) =>
    (['missing', 'busy', 'denied', 'lost', 'hung', 'failed'] as const).map((trouble): Notice => ({ kind: 'device', device, trouble, name: trouble === 'missing' || trouble === 'denied' ? '' : 'C920' })),
  ),
  { kind: 'mutedButSpeaking' },
  { kind: 'portTaken', setting: 'hls', port: 8888, program: 'nginx', free: 8890 },
];

describe.each(LANGUAGES)('what goes wrong, in %s', (language) => {
  const t = DICTIONARIES[language];
  it.each(ERRORS)('$kind', (error) => {
    const words = errorWords(t, error);
    expect(words.text).not.toBe('');
    if ('address' in error) expect(words.text).toContain(error.address);
    if ('detail' in error) expect(words.support).toContain(error.detail);
  });
  it.each(NOTICES)('$kind', (notice) => {
    const words = noticeWords(t, notice);
    if ('name' in notice) expect(words.text).toContain(notice.name);
    if (notice.kind !== 'mutedButSpeaking') expect(words.cure?.label).toBeTruthy();
  });
});

it('says of a device nobody knows the name of what it says of one with a name', () => {
  const busy = (name: string): Notice => ({ kind: 'device', device: 'camera', trouble: 'busy', name });
  expect(noticeWords(DICTIONARIES.en, busy('')).text).toMatch(/^Another program has the camera\. /);
  expect(noticeWords(DICTIONARIES.en, busy('C920')).text).toMatch(/^Another program has the camera \(C920\)\. /);
  expect(noticeWords(DICTIONARIES['zh-CN'], busy('')).text).toMatch(/^摄像头正被其他程序使用。/);
});

it('says the port as the design does', () => {
  const notice: Notice = { kind: 'portTaken', setting: 'rtmp', port: 1935, program: 'nginx', free: 1937 };
  expect(noticeWords(DICTIONARIES.en, notice)).toMatchObject({ text: 'nginx is using 1935. 1937 is free.', cure: { label: 'Use 1937', action: { kind: 'usePort', setting: 'rtmp', port: 1937 } } });
  expect(noticeWords(DICTIONARIES['zh-CN'], notice)).toMatchObject({ text: '1935 正被 nginx 占用，1937 可用。', cure: { label: '改用 1937' } });
  expect(noticeWords(DICTIONARIES['zh-CN'], { ...notice, program: null }).text).toBe('1935 正被其他程序占用，1937 可用。');
});

it('calls settings by the names on screen', () => {
  expect(settingName(DICTIONARIES.en, 'ports.rtmp')).toBe('WeChat');
  expect(settingName(DICTIONARIES['zh-CN'], 'doctorStream')).toBe('您的流');
  expect(settingName(DICTIONARIES.en, 'somethingNew')).toBe('somethingNew');
});

it('formats by the language', () => {
  const date = new Date(2026, 10, 20, 9);
  expect(formatter('en').day(date)).toBe('Friday 20 November');
  expect(formatter('zh-CN').day(date)).toBe('11月20日星期五');
  expect(formatter('en').seconds(314, 1)).toBe('0.3');
  expect(DICTIONARIES.en.state.attempts(1)).toBe('1 try so far');
  expect(DICTIONARIES.en.state.attempts(3)).toBe('3 tries so far');
});

it.each([
  [0, '00:00'],
  [724_999, '12:04'],
  [3_723_000, '1:02:03'],
  [-5, '00:00'],
])('%i ms as %s', (ms, text) => expect(elapsed(ms)).toBe(text));
