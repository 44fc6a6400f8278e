// A command that is tried again after a lost answer must not be carried out twice: its key is kept until it is answered.

import { Problem, SignedOut, call } from '/assets/api.js';
import { state } from '/assets/state.js';
import { tab } from '/assets/store.js';

const storeOf = (name) => `bank.once.${name}`;

/** What of this name was sent and not answered: { path, body }, or null. */
export function unanswered(name) {
  const kept = tab.get(storeOf(name));
  return kept?.customer === state.customer?.id ? kept : null;
}

/** Whoever looked what became of it does not want it sent again. */
export const discard = (name) => tab.remove(storeOf(name));

/**
 * Sends a command, under the key of the last try where that asked for the same and was not answered. Resolves to
 * { data, replayed }: `replayed` says that the bank had done it at an earlier try.
 */
export async function once(name, path, body) {
  const last = unanswered(name);
  const same = last && last.path === path && JSON.stringify(last.body) === JSON.stringify(body);
  const entry = same ? last : { customer: state.customer?.id, key: crypto.randomUUID(), path, body };
  tab.set(storeOf(name), entry);
  try {
    const { data, headers } = await call('POST', path, { body, headers: { 'Idempotency-Key': `"${entry.key}"` } });
    discard(name);
    return { data, replayed: headers.get('Idempotency-Replayed') === 'true' };
  } catch (error) {
    if (error instanceof Problem && isDecided(error, same)) discard(name);
    if (error instanceof SignedOut) tab.set(storeOf(name), entry);
    throw error;
  }
}

// Whether this refusal says that nothing was done. One at the door says nothing about an earlier try.
function isDecided({ status, code }, isRepeated) {
  if (status >= 500 || [408, 425].includes(status) || code === 'request_in_progress') return false;
  return !(isRepeated && [401, 403, 429].includes(status));
}
