// A command that is tried again after a lost answer must not be carried out twice: its key is kept until it is answered.

import { Problem, SignedOut, call } from '/assets/api.js';
import { state } from '/assets/state.js';
import { tab } from '/assets/store.js';

const open = (status) => status >= 500 || [408, 409, 425, 429].includes(status);

/** What of this name was sent and not answered: { body }, or null. */
export function unanswered(name) {
  const kept = tab.get(`bank.once.${name}`);
  return kept?.customer === state.customer?.id ? kept : null;
}

/** Sends a command under the key of the last try where that asked for the same; a settled one gives up its key. */
export async function once(name, path, body) {
  const store = `bank.once.${name}`;
  const last = unanswered(name);
  const same = last && last.path === path && JSON.stringify(last.body) === JSON.stringify(body);
  const entry = same ? last : { customer: state.customer?.id, key: crypto.randomUUID(), path, body };
  tab.set(store, entry);
  try {
    const { data } = await call('POST', path, { body, headers: { 'Idempotency-Key': `"${entry.key}"` } });
    tab.remove(store);
    return data;
  } catch (error) {
    if (error instanceof Problem && !open(error.status)) tab.remove(store);
    if (error instanceof SignedOut) tab.set(store, entry);
    throw error;
  }
}
