// The auditor's view: the totals of the ledger, which sum to zero, and how far its hash chain has come.

import { get } from '/assets/api.js';
import { byId, el, fact, failed, fill, icon, skeleton } from '/assets/dom.js';
import { locale, t } from '/assets/i18n.js';
import { money } from '/assets/money.js';

const list = byId('books');
const count = new Intl.NumberFormat(locale);

export async function show() {
  skeleton(list, 2);
  try {
    const { balanced, currencies, sequence, chain } = await get('/v1/ledger/trial-balance');
    fill(list, [
      el(
        'li',
        { class: 'row', dataset: { balanced: String(balanced) } },
        el('span', { class: `medal ${balanced ? 'in' : 'warn'}` }, icon(balanced ? 'check' : 'alert')),
        el('span', { class: 'grow strong' }, t(balanced ? 'books.balanced' : 'books.unbalanced')),
      ),
      ...currencies.map(total),
      el(
        'li',
        { class: 'book' },
        el('h2', {}, t('books.chain')),
        el(
          'dl',
          { class: 'facts' },
          fact(t('books.sequence'), count.format(sequence)),
          fact(t('books.chained'), count.format(chain.sequence)),
          fact(t('books.pending'), count.format(chain.pending)),
          fact(t('books.hash'), el('code', { class: 'hash' }, chain.hash || '\u2014')),
        ),
      ),
    ]);
  } catch (error) {
    failed(list, error, show);
  }
}

function total({ currency, debits, credits, total: sum, accounts, postings }) {
  const amount = (value) => money({ amount: value, currency });
  return el(
    'li',
    { class: 'book', dataset: { currency } },
    el('h2', {}, currency),
    el(
      'dl',
      { class: 'facts' },
      fact(t('books.credits'), amount(credits)),
      fact(t('books.debits'), amount(debits)),
      fact(t('books.total'), amount(sum)),
      fact(t('books.accounts'), count.format(accounts)),
      fact(t('books.postings'), count.format(postings)),
    ),
  );
}
