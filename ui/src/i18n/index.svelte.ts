/**
 * The language of the window, switched live.
 *
 * Belongs here: which dictionary is in force. Not here: sentences (`en.ts`, `zh-CN.ts`), where the choice is kept (settings).
 */
import type { Language } from '../generated/bindings';
import { en, type Dictionary } from './en';
import { formatter, type Format } from './format';
import { zhCN } from './zh-CN';

export type { Dictionary } from './en';
export type { Format } from './format';

export const DICTIONARIES: Record<Language, Dictionary> = { en, 'zh-CN': zhCN };
export const LANGUAGES = Object.keys(DICTIONARIES) as Language[];

class I18n {
  language = $state<Language>('zh-CN');
  readonly t: Dictionary = $derived(DICTIONARIES[this.language]);
  readonly format: Format = $derived(formatter(this.language));

  /** The other of the two, for a button that switches. */
  readonly other: Language = $derived(this.language === 'en' ? 'zh-CN' : 'en');
}

/** Read as `i18n.t.home.start`, so that a switch reaches every sentence on screen. */
export const i18n = new I18n();
