// What the page says about a refusal: its own words by the problem's code. The bank's text is for programs.

import { Problem, Unreachable } from '/assets/api.js';
import { has, t } from '/assets/i18n.js';
import { wait } from '/assets/times.js';

const general = new Set(['invalid_input', 'invalid_customer']);

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

/**
 * What is wrong with one field of a form, in the page's words. The problem's code says it where it is about something; one
 * that names any number of fields leaves it to the field.
 */
export function fieldWords(field, error) {
  const isAbout = has(`problem.${error.code}`) && !general.has(error.code);
  if (isAbout) return wordsOf(error);
  return t(has(`field.${field}`) ? `field.${field}` : 'field.other');
}

/** Why a payment was not made. */
export function reasonText(code) {
  if (!code) return t('reason.none');
  const key = [`reason.${code}`, `problem.${code}`].find(has);
  return key ? t(key, { time: wait(null) }) : t('reason.other', { code: code.replaceAll('_', ' ') });
}
