// A payment that was begun outlives a session that ends under it: the form is kept for its customer, in this tab.

import { state } from '/assets/state.js';
import { tab } from '/assets/store.js';

const STORE = 'bank.draft';

export const saveDraft = (draft) => tab.set(STORE, { ...draft, customer: state.customer?.id });
export const dropDraft = () => tab.remove(STORE);

export function draft() {
  const kept = tab.get(STORE);
  return kept && kept.customer === state.customer?.id ? kept : null;
}
