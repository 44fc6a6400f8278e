// Times for people, in their own zone and in the language of the page.

import { locale, t } from '/assets/i18n.js';

const format = (options) => new Intl.DateTimeFormat(locale, options);
const clock = format({ timeStyle: 'short' });
const day = format({ weekday: 'long', day: 'numeric', month: 'long' });
const dayAndYear = format({ day: 'numeric', month: 'long', year: 'numeric' });
const full = format({ dateStyle: 'long', timeStyle: 'medium' });
const short = format({ day: 'numeric', month: 'short', year: 'numeric' });
const month = format({ month: 'long', year: 'numeric' });

const valid = (at) => !Number.isNaN(new Date(at ?? NaN).getTime());
const written = (formatter) => (at) => (valid(at) ? formatter.format(new Date(at)) : '');

export const timeOf = written(clock);
export const fullTime = written(full);
export const dateOf = written(short);
export const monthOf = written(month);
export const today = () => day.format(new Date());

export function dayOf(at) {
  if (!valid(at)) return t('day.earlier');
  const date = new Date(at);
  const now = new Date();
  const midnight = (moment) => new Date(moment.getFullYear(), moment.getMonth(), moment.getDate());
  const days = Math.round((midnight(now) - midnight(date)) / 86_400_000);
  if (days === 0) return t('day.today');
  if (days === 1) return t('day.yesterday');
  return (date.getFullYear() === now.getFullYear() ? day : dayAndYear).format(date);
}

/** "Today, 08:57" */
export const momentOf = (at) => `${dayOf(at)}, ${timeOf(at)}`;

/** [[label, items], …] in the order given. */
export function byDay(items, at) {
  const days = new Map();
  for (const item of items) {
    const label = dayOf(at(item));
    days.set(label, [...(days.get(label) ?? []), item]);
  }
  return [...days];
}

export function wait(seconds) {
  if (seconds === null || seconds === undefined) return t('wait.some');
  if (seconds < 60) return t('wait.seconds', { count: seconds });
  return t('wait.minutes', { count: Math.ceil(seconds / 60) });
}
