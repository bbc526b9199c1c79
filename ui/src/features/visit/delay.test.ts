import { describe, expect, it } from 'vitest';
import type { DelayParts, VisitView } from '../../generated/bindings';
import { live, visit, waiting } from '../../ipc.fake';
import { delayLevel, shares, total, worstTotal, type DelayLevel } from './delay';
import { PushToTalk } from './talk';

const parts = (change: Partial<DelayParts>): DelayParts => ({ networkMs: null, queueMs: null, holdMs: null, codecMs: null, displayMs: null, jitterMs: null, totalMs: null, ...change });
const delays = (incoming: number | null, outgoing: number | null) => live({ delay: { incoming: parts({ totalMs: incoming }), outgoing: parts({ totalMs: outgoing }), estimated: false } });

it.each<[string, VisitView, DelayLevel]>([
  ['no visit', visit(), 'unknown'],
  ['nobody yet', waiting(), 'unknown'],
  ['quick both ways', delays(200, 300), 'good'],
  ['slow one way', delays(200, 900), 'weak'],
  ['nothing measured', delays(null, null), 'unknown'],
  ['a picture that stands', live({ remote: { picture: 'frozen', sound: true, width: 1, height: 1 } }), 'weak'],
  ['nothing arrives', live({ remote: { picture: 'frozen', sound: false, width: 1, height: 1 } }), 'lost'],
  ['the server is gone', live({ phase: { kind: 'reconnecting', attempt: 1, retryInMs: 1000, error: { kind: 'internal', detail: '' } } }), 'lost'],
])('%s', (_, view, level) => expect(delayLevel(view)).toBe(level));

it('sums what is known', () => {
  expect(total(parts({ networkMs: 10, codecMs: 5 }))).toBe(15);
  expect(total(parts({ networkMs: 10, totalMs: 40 }))).toBe(40);
  expect(total(parts({}))).toBeNull();
  expect(worstTotal(delays(200, 300))).toBe(300);
  expect(total(parts({ networkMs: 10, codecMs: 5, jitterMs: 40 }))).toBe(50);
  expect(total(parts({ networkMs: 10, codecMs: 50, jitterMs: 40 }))).toBe(60);
  expect(shares(parts({ networkMs: 1, queueMs: 2, holdMs: 3, codecMs: 4, displayMs: 5 }))).toEqual({ network: 1, waiting: 5, computer: 9 });
  expect(shares(parts({ networkMs: 1, codecMs: 4, displayMs: 5, jitterMs: 20 }))).toEqual({ network: 1, waiting: 11, computer: 9 });
});

describe('hold Space to talk', () => {
  function setUp(muted: boolean) {
    let now = 0;
    const target = {
      muted,
      setMuted(value: boolean) {
        this.muted = value;
      },
    };
    const talk = new PushToTalk(target, () => now);
    const press = (ms: number, onControl: boolean) => {
      talk.down(onControl);
      const during = target.muted;
      talk.down(onControl);
      now += ms;
      talk.up();
      talk.up();
      return [during, target.muted];
    };
    return press;
  }
  it.each([
    ['muted, held', true, 900, false, [false, true]],
    ['muted, held on the control', true, 900, true, [false, true]],
    ['muted, tapped on the control', true, 100, true, [false, false]],
    ['muted, tapped elsewhere', true, 100, false, [false, true]],
    ['not muted, tapped on the control', false, 100, true, [false, true]],
    ['not muted, held on the control', false, 900, true, [false, false]],
    ['not muted, elsewhere', false, 900, false, [false, false]],
  ] as const)('%s', (_, muted, ms, onControl, [during, after]) => expect(setUp(muted)(ms, onControl)).toEqual([during, after]));
});
