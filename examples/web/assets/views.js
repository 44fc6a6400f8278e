// The views by the address's hash, so that Back, bookmarks and reloads work. What few people need is loaded when they do.

import { leaveAccount, showAccount } from '/assets/account.js';
import { SignedOut, Unreachable } from '/assets/api.js';
import { byId, complain, el } from '/assets/dom.js';
import { t } from '/assets/i18n.js';
import { leaveOutcome } from '/assets/outcome.js';
import { part } from '/assets/part.js';
import { closeSheets } from '/assets/sheets.js';
import { state } from '/assets/state.js';

const views = {
  home: { title: 'home-title' },
  account: { title: 'account-title', page: 'account.title', show: showAccount, leave: leaveAccount },
  statement: { title: 'statement-title', page: 'statement.title', load: () => import('/assets/statement.js') },
  security: { title: 'security-title', page: 'security.title', load: () => import('/assets/security.js') },
  counter: { title: 'counter-title', page: 'tab.counter', load: () => import('/assets/counter.js'), roles: ['teller'] },
  approvals: { title: 'approvals-title', page: 'tab.approvals', load: () => import('/assets/approvals.js'), roles: ['teller', 'operator'] },
  books: { title: 'books-title', page: 'tab.books', load: () => import('/assets/books.js'), roles: ['auditor'] },
};

let current = null;

const mayUse = ({ roles }) => !roles || roles.some((role) => state.customer?.roles?.includes(role));

/** { name, rest } of an address such as `#statement/acc_1/2026-11`; home for everything else. */
function asked() {
  const [name, ...rest] = location.hash.slice(1).split('/');
  const known = Object.hasOwn(views, name) && mayUse(views[name]) && rest.every((part) => /^[\w-]+$/.test(part));
  return known ? { name, rest } : { name: 'home', rest: [] };
}

export const isSomewhere = () => location.hash.length > 1;

export async function route() {
  const { name, rest } = asked();
  closeSheets();
  leaveOutcome();
  if (current && current !== name) views[current].leave?.();
  const view = views[name];
  current = name;
  for (const each of Object.keys(views)) byId(`${each}-view`).hidden = each !== name;
  for (const tab of document.querySelectorAll('#tabs a')) {
    if (tab.hash === `#${name}`) tab.setAttribute('aria-current', 'page');
    else tab.removeAttribute('aria-current');
  }
  document.title = view.page ? `${t(view.page)} · ${t('title')}` : t('title');
  scrollTo(0, 0);
  byId(view.title).focus({ preventScroll: true });
  try {
    const module = view.load ? await part(view.load) : view;
    // Somebody may have gone on while it was loading.
    if (current === name) await module.show?.(...rest);
  } catch (error) {
    if (!(error instanceof SignedOut)) complain(error instanceof TypeError ? new Unreachable('a part of the page') : error);
  }
}

/** Nobody is signed in any more. */
export function leaveViews() {
  if (current) views[current].leave?.();
  current = null;
}

/** What a member of staff has beside the home page. */
export function showTabs(roles) {
  const tabs = Object.entries(views).filter(([name, view]) => name === 'home' || (view.roles && mayUse(view)));
  const nav = byId('tabs');
  nav.hidden = tabs.length < 2;
  nav.replaceChildren(...tabs.map(([name]) => el('a', { href: `#${name}` }, t(`tab.${name}`))));
  byId('operator-note').hidden = !roles.includes('operator');
}
