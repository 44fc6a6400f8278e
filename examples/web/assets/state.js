// What several views share, and the word that it changed.

import { t } from '/assets/i18n.js';

export const state = { customer: null, accounts: [] };

const bus = new EventTarget();

export const on = (name, listener) => bus.addEventListener(name, (event) => listener(event.detail));
export const emit = (name, detail) => bus.dispatchEvent(new CustomEvent(name, { detail }));

export const ownAccount = (id) => state.accounts.find((account) => account.id === id);
export const accountLabel = (account) => account.name || t('account.unnamed', { currency: account.currency });

/** acc_01HXYZ…9F3K: enough of an id to tell two apart. */
export const shortId = (id) => (id && id.length > 16 ? `${id.slice(0, 8)}…${id.slice(-4)}` : (id ?? ''));
