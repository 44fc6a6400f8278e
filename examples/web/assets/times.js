// Times for people, in their own zone and language.

const clock = new Intl.DateTimeFormat(undefined, { hour: '2-digit', minute: '2-digit' });
const day = new Intl.DateTimeFormat(undefined, { weekday: 'long', day: 'numeric', month: 'long' });
const dayAndYear = new Intl.DateTimeFormat(undefined, { day: 'numeric', month: 'long', year: 'numeric' });
const full = new Intl.DateTimeFormat(undefined, { dateStyle: 'long', timeStyle: 'medium' });

const valid = (at) => !Number.isNaN(new Date(at ?? NaN).getTime());

export const timeOf = (at) => (valid(at) ? clock.format(new Date(at)) : '');
export const fullTime = (at) => (valid(at) ? full.format(new Date(at)) : '');
export const today = () => day.format(new Date());

export function dayOf(at) {
  if (!valid(at)) return 'Earlier';
  const date = new Date(at);
  const now = new Date();
  const midnight = (moment) => new Date(moment.getFullYear(), moment.getMonth(), moment.getDate());
  const days = Math.round((midnight(now) - midnight(date)) / 86_400_000);
  if (days === 0) return 'Today';
  if (days === 1) return 'Yesterday';
  return (date.getFullYear() === now.getFullYear() ? day : dayAndYear).format(date);
}

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
  if (seconds === null || seconds === undefined) return 'a little while';
  if (seconds < 60) return seconds === 1 ? '1 second' : `${seconds} seconds`;
  const minutes = Math.ceil(seconds / 60);
  return minutes === 1 ? 'a minute' : `${minutes} minutes`;
}
