/**
 * Keys to actions.
 *
 * Belongs here: which key means what, and when single letters must not act. Not here: the actions (`App.svelte`, the screens).
 */
export type Action = 'start' | 'mute' | 'camera' | 'swap' | 'fullscreen' | 'escape' | 'delay' | 'settings' | 'end' | 'help' | 'talk';

interface Combination {
  key: string;
  modifier?: boolean;
  shift?: boolean;
}

const COMBINATIONS: readonly (Combination & { action: Action })[] = [
  { key: 'enter', modifier: true, action: 'start' },
  { key: ',', modifier: true, action: 'settings' },
  { key: 'e', modifier: true, shift: true, action: 'end' },
];

const LETTERS: Readonly<Record<string, Action>> = { m: 'mute', v: 'camera', s: 'swap', f: 'fullscreen', d: 'delay', ' ': 'talk' };

/** ⌘ on a Mac, Ctrl elsewhere, as its users expect to read it. */
export const IS_MAC = typeof navigator !== 'undefined' && /mac/i.test(navigator.platform);
export const MODIFIER = IS_MAC ? '⌘' : 'Ctrl';

/** Whether what has focus takes letters as text. */
export function takesText(target: EventTarget | null): boolean {
  if (!(target instanceof HTMLElement)) return false;
  return target.isContentEditable || target instanceof HTMLTextAreaElement || target instanceof HTMLSelectElement || (target instanceof HTMLInputElement && !['checkbox', 'radio', 'button'].includes(target.type));
}

/** Whether Space already means something to what has focus. */
export function takesSpace(target: EventTarget | null): boolean {
  if (takesText(target)) return true;
  return target instanceof Element && target.closest('button, a[href], summary, input, [role=radio], [role=switch], [role=tab]') !== null;
}

export function actionOf(event: KeyboardEvent, letters: boolean): Action | null {
  const key = event.key.toLowerCase();
  const modifier = event.ctrlKey || event.metaKey;
  for (const c of COMBINATIONS) {
    if (c.key === key && modifier && !event.altKey && event.shiftKey === (c.shift ?? false)) return c.action;
  }
  if (modifier || event.altKey) return null;
  if (key === 'escape') return 'escape';
  if (takesText(event.target)) return null;
  if (event.key === '?') return letters ? 'help' : null;
  if (!letters || event.shiftKey) return null;
  const action = LETTERS[key] ?? null;
  return action === 'talk' && takesSpace(event.target) ? null : action;
}
