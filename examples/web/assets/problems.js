// What the page says about a refusal: its own words by the problem's code. The bank's text is for programs.

import { Problem, Unreachable } from '/assets/api.js';
import { has, t } from '/assets/i18n.js';
import { wait } from '/assets/times.js';

export function wordsOf(error) {
  if (error instanceof Unreachable) return t('problem.unreachable');
  // What the page itself threw is in its own words; what broke is not.
  if (!(error instanceof Problem)) return error.constructor === Error ? error.message : t('problem.other');
  const time = wait(error.retryAfter);
  const { code, status } = error;
  const key = [`problem.${code}`, `problem.${status}`, status >= 500 ? 'problem.500' : 'problem.other'].find(has);
  return t(key, { time, status });
}

/** The number that support would ask for: only where something went wrong that should not have. */
export const requestOf = (error) => (error instanceof Problem && error.status >= 500 ? error.instance : '');

/** What a field of a form may hold, in the page's words. */
export function fieldWords(field, message) {
  return has(`field.${field}`) ? t(`field.${field}`) : message || t('field.other');
}

/** Why a payment was not made. */
export function reasonText(code) {
  if (!code) return t('reason.none');
  return has(`reason.${code}`) ? t(`reason.${code}`) : t('reason.other', { code: code.replaceAll('_', ' ') });
}
