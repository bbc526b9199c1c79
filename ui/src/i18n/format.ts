/**
 * Numbers, times and plurals in the reader's language, all by `Intl`.
 *
 * Belongs here: formatting of values. Not here: sentences (`en.ts`, `zh-CN.ts`).
 */
import type { Language } from '../generated/bindings';

type Forms = Partial<Record<Intl.LDMLPluralRule, (n: string) => string>> & { other: (n: string) => string };

/** Chooses the sentence by the language's plural rule, and writes the number as the language does. */
export function plural(language: Language, forms: Forms): (n: number) => string {
  const rules = new Intl.PluralRules(language);
  const number = new Intl.NumberFormat(language);
  return (n) => (forms[rules.select(n)] ?? forms.other)(number.format(n));
}

/** The locale dates are set in: English dates are day first, without commas. */
const DATES: Record<Language, string> = { en: 'en-GB', 'zh-CN': 'zh-CN' };

export interface Format {
  /** "Friday 20 November", "11月20日星期五". */
  day(date: Date): string;
  /** Milliseconds as seconds with `digits` decimals, the unit left to the sentence. */
  seconds(ms: number, digits: number): string;
  integer(value: number): string;
}

export function formatter(language: Language): Format {
  const day = new Intl.DateTimeFormat(DATES[language], { weekday: 'long', day: 'numeric', month: 'long' });
  const integer = new Intl.NumberFormat(language, { maximumFractionDigits: 0, useGrouping: false });
  return {
    day: (date) => day.format(date).replace(',', ''),
    seconds: (ms, digits) =>
      new Intl.NumberFormat(language, { minimumFractionDigits: digits, maximumFractionDigits: digits }).format(ms / 1000),
    integer: (value) => integer.format(value),
  };
}

/** Elapsed time as a clock shows it: 12:04, 1:02:03. The same in every language. */
export function elapsed(ms: number): string {
  const total = Math.max(0, Math.floor(ms / 1000));
  const two = (n: number) => String(n).padStart(2, '0');
  const hours = Math.floor(total / 3600);
  const rest = `${two(Math.floor(total / 60) % 60)}:${two(total % 60)}`;
  return hours > 0 ? `${hours}:${rest}` : rest;
}
