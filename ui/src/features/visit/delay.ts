/**
 * Delay as a doctor reads it: a level, seconds, three parts.
 *
 * Belongs here: summing and judging. Not here: measuring (the shell), words (`i18n/`).
 */
import type { DelayParts, VisitView } from '../../generated/bindings';

export type DelayLevel = 'good' | 'weak' | 'lost' | 'unknown';

/**
 * Above this people start to talk over each other. ITU-T G.114 plans for 0.4 s mouth to ear; phones on RTMP add a buffer of
 * their own that nobody can shorten, and doctors are served by a hint only when a pause truly helps.
 */
const WEAK_MS = 600;

export function delayLevel(visit: VisitView): DelayLevel {
  if (visit.phase.kind === 'reconnecting') return 'lost';
  if (visit.phase.kind !== 'live') return 'unknown';
  if (visit.remote.picture === 'frozen' && !visit.remote.sound) return 'lost';
  const worst = worstTotal(visit);
  if (visit.remote.picture === 'frozen') return 'weak';
  if (worst === null) return 'unknown';
  return worst > WEAK_MS ? 'weak' : 'good';
}

/** The slower of the two ways in milliseconds: a conversation is as quick as its slower half. */
export function worstTotal(visit: VisitView): number | null {
  const totals = [total(visit.delay.incoming), total(visit.delay.outgoing)].filter((ms) => ms !== null);
  return totals.length === 0 ? null : Math.max(...totals);
}

/** The total as measured, else the sum of what is known. */
export function total(parts: DelayParts): number | null {
  if (parts.totalMs !== null) return parts.totalMs;
  const known = [parts.networkMs, parts.queueMs, parts.jitterMs, parts.codecMs, parts.displayMs].filter((ms) => ms !== null);
  return known.length === 0 ? null : known.reduce((sum, ms) => sum + ms, 0);
}

export interface Share {
  network: number;
  waiting: number;
  computer: number;
}

/** The three parts of the bar in milliseconds; unknown ones count as none. */
export function shares(parts: DelayParts): Share {
  return {
    network: parts.networkMs ?? 0,
    waiting: (parts.queueMs ?? 0) + (parts.jitterMs ?? 0),
    computer: (parts.codecMs ?? 0) + (parts.displayMs ?? 0),
  };
}
