// A list of what moved or holds the customer's money, newest first, with search. Home and an account's page show one each.

import { SignedOut, all, page } from '/assets/api.js';
import { openDetails } from '/assets/details.js';
import { busy, byId, complain, el, empty, failed, fill, skeleton } from '/assets/dom.js';
import { t } from '/assets/i18n.js';
import { activityRow, isWaiting } from '/assets/row.js';
import { byDay } from '/assets/times.js';

const PATH = '/v1/activity';
const PAGE = 25;

export class Feed {
  items = [];
  next = null;
  account = null;

  /** `name` is the id of the list; its button and its form are called after it. */
  constructor(name, { withAccount = false } = {}) {
    this.list = byId(name);
    this.more = byId(`${name}-more`);
    this.form = byId(`${name}-filter`);
    this.toggle = byId(`${name}-search`);
    this.withAccount = withAccount;
    this.more.addEventListener('click', () => busy(this.more, () => this.loadMore()));
    this.toggle.addEventListener('click', () => this.showFilter(this.form.hidden));
    this.form.addEventListener('submit', (event) => {
      event.preventDefault();
      this.load().catch(() => {});
    });
    this.form.addEventListener('input', () => {
      clearTimeout(this.typing);
      this.typing = setTimeout(() => this.load().catch(() => {}), 300);
    });
    this.form.addEventListener('reset', () => setTimeout(() => this.load().catch(() => {})));
  }

  showFilter(shown) {
    this.form.hidden = !shown;
    this.toggle.setAttribute('aria-expanded', String(shown));
    if (shown) this.form.elements.q.focus();
    else if (this.isFiltered) this.form.reset();
  }

  get query() {
    const { q, direction, from, to } = this.form.elements;
    const day = (input, more) => {
      if (!input.value) return '';
      const [year, month, date] = input.value.split('-').map(Number);
      return new Date(year, month - 1, date + more).toISOString();
    };
    return {
      limit: PAGE,
      account: this.account,
      q: q.value.trim(),
      direction: direction.value,
      from: day(from, 0),
      to: day(to, 1),
    };
  }

  get isFiltered() {
    const { limit, account, ...rest } = this.query;
    return Object.values(rest).some(Boolean);
  }

  async load({ quiet = false } = {}) {
    const query = this.query;
    const asked = (this.asked = JSON.stringify(query));
    if (!quiet) {
      this.items = [];
      skeleton(this.list, 4);
      this.more.hidden = true;
    }
    try {
      const first = await page(PATH, null, query);
      await this.addEnds(first.items);
      if (asked !== this.asked) return; // something else was asked for meanwhile
      // What was loaded further down stays, below the fresh first page.
      const fresh = new Set(first.items.map((item) => item.id));
      const older = this.items.length > first.items.length ? this.items.filter((item) => !fresh.has(item.id)) : [];
      if (!older.length) this.next = first.next;
      this.items = first.items.concat(older);
      this.render();
    } catch (error) {
      if (error instanceof SignedOut) throw error;
      if (!quiet && asked === this.asked) failed(this.list, error, () => this.load().catch(() => {}));
    }
  }

  async loadMore() {
    const asked = this.asked;
    try {
      const more = await page(PATH, this.next, this.query);
      await this.addEnds(more.items);
      if (asked !== this.asked) return;
      const known = new Set(this.items.map((item) => item.id));
      const fresh = more.items.filter((item) => !known.has(item.id));
      this.items = this.items.concat(fresh);
      this.next = more.next;
      this.render();
      if (fresh.length) this.button(fresh[0].id)?.focus();
    } catch (error) {
      complain(error);
    }
  }

  /** When open reservations end, where the list does not say it. */
  async addEnds(items) {
    const open = items.filter((item) => item.kind === 'hold' && isWaiting(item) && !item.expires_at);
    for (const account of new Set(open.map((item) => item.account))) {
      const holds = await all(`/v1/accounts/${encodeURIComponent(account)}/holds`).catch((error) => {
        if (error instanceof SignedOut) throw error;
        return [];
      });
      for (const item of open) item.expires_at ??= holds.find((hold) => hold.id === (item.hold ?? item.id))?.expires_at;
    }
  }

  button(id) {
    return this.list.querySelector(`[data-activity="${CSS.escape(id)}"] button`);
  }

  /** A refresh must not take the focus from the row it is on. */
  render() {
    const focused = document.activeElement?.closest?.('[data-activity]');
    const kept = focused && this.list.contains(focused) ? focused.dataset.activity : null;
    const row = (item) => activityRow(item, { open: openDetails, withAccount: this.withAccount });
    fill(
      this.list,
      this.items.length
        ? byDay(this.items, (item) => item.at).map(([label, items]) =>
            el('li', { class: 'day' }, el('h3', {}, label), el('ul', {}, items.map(row))),
          )
        : [
            this.isFiltered
              ? empty('list', t('activity.none_found'), t('activity.none_found_text'))
              : empty('list', t('activity.none'), t('activity.none_text')),
          ],
    );
    this.more.hidden = !this.next;
    if (kept) this.button(kept)?.focus();
  }

  reset() {
    this.items = [];
    this.next = null;
    this.asked = null;
    clearTimeout(this.typing);
    for (const field of this.form.elements) if ('value' in field) field.value = '';
    this.form.hidden = true;
    this.toggle.setAttribute('aria-expanded', 'false');
    this.list.replaceChildren();
    this.more.hidden = true;
  }
}
