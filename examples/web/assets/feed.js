// A list of what moved or holds the customer's money, newest first, with search. Home and an account's page show one each.

import { SignedOut, all, head, more } from '/assets/api.js';
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
    const isWanted = () => asked === this.asked; // nothing else was asked for meanwhile
    try {
      let fresh;
      let shown;
      // As many as are shown, so that there is neither a hole nor anything that is not there any more.
      do {
        shown = this.items.length;
        fresh = await head(PATH, query, { shown, isWanted });
      } while (isWanted() && this.items.length > shown);
      await this.addEnds(fresh.items);
      if (!isWanted()) return;
      this.next = fresh.next;
      this.items = fresh.items;
      this.render();
    } catch (error) {
      if (error instanceof SignedOut) throw error;
      if (!quiet && isWanted()) failed(this.list, error, () => this.load().catch(() => {}));
    }
  }

  async loadMore() {
    const asked = this.asked;
    const from = this.next;
    const isWanted = () => asked === this.asked;
    try {
      const part = await more(PATH, this, this.query, { isWanted });
      await this.addEnds(part.items);
      if (!isWanted()) return;
      if (from !== this.next) return this.loadMore(); // the list was loaded anew meanwhile, and ends elsewhere
      const known = new Set(this.items.map((item) => item.id));
      const fresh = part.items.filter((item) => !known.has(item.id));
      this.items = this.items.concat(fresh);
      this.next = part.next;
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
        : [this.nothing()],
    );
    this.more.hidden = !this.next;
    if (kept) this.button(kept)?.focus();
  }

  nothing() {
    const key = this.next ? 'none_yet' : this.isFiltered ? 'none_found' : 'none';
    return empty('list', t(`activity.${key}`), t(`activity.${key}_text`));
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
