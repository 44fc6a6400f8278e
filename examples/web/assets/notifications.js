// The inbox, its unread badge, and the message for what has just arrived.

import { SignedOut, head, page, post } from '/assets/api.js';
import { openTransfer } from '/assets/details.js';
import { busy, byId, complain, el, empty, failed, fill, icon, skeleton, toast } from '/assets/dom.js';
import { t } from '/assets/i18n.js';
import { noteOf, titleOf, toneOf } from '/assets/notices.js';
import { isShown } from '/assets/outcome.js';
import { openSheet } from '/assets/sheets.js';
import { momentOf } from '/assets/times.js';

const PATH = '/v1/notifications';
const PAGE = 25;
let items = [];
let next = null;
let unread = 0;
let loaded = false;
// A reconnect may bring an event again; each is announced once. Null until the first load has said what is old.
let announced = null;

export async function loadNotifications() {
  try {
    let first;
    let shown;
    // As many as are shown, so that there is neither a hole nor anything that is not there any more.
    do {
      shown = items.length;
      first = await head(PATH, { limit: PAGE }, { shown });
    } while (items.length > shown);
    items = first.items;
    next = first.next;
    unread = first.unread ?? items.filter((item) => !item.read).length;
    announced ??= new Set(items.map((item) => item.id));
    loaded = true;
    render();
  } catch (error) {
    if (error instanceof SignedOut) throw error;
    if (!loaded) failed(byId('notifications'), error, () => loadNotifications().catch(() => {}));
  }
}

export function resetNotifications() {
  items = [];
  next = null;
  unread = 0;
  loaded = false;
  announced = null;
  render();
  skeleton(byId('notifications'), 3);
}

/** Says what an event is about, once, unless the card of the payment made here says it already. */
export function announceEvent(kind, notice) {
  if (kind !== 'notification' || !notice.kind || !notice.id || !announced || announced.has(notice.id)) return;
  announced.add(notice.id);
  if (document.hidden || isShown(notice)) return;
  toast(titleOf(notice), toneOf(notice));
}

function render() {
  const badge = byId('notifications-badge');
  badge.hidden = unread === 0;
  badge.textContent = unread > 99 ? '99+' : String(unread);
  byId('notifications-label').textContent = unread
    ? t('notifications.unread', { count: unread })
    : t('notifications.title');
  byId('notifications-all').hidden = unread === 0;
  byId('notifications-more').hidden = !next;
  fill(
    byId('notifications'),
    items.length ? items.map(row) : [empty('bell', t('notifications.none'), t('notifications.none_text'))],
  );
}

const icons = { in: 'in', out: 'out', error: 'alert', info: 'bell' };

function row(item) {
  const tone = toneOf(item);
  const note = noteOf(item);
  return el(
    'li',
    { class: item.read ? '' : 'unread', dataset: { notification: item.id, read: String(Boolean(item.read)), tone } },
    el(
      'button',
      { class: 'row note', type: 'button', onclick: () => open(item) },
      el('span', { class: `medal ${tone === 'error' ? 'warn' : tone}` }, icon(icons[tone])),
      el(
        'span',
        { class: 'grow' },
        el('span', { class: 'row-title' }, item.read ? null : el('span', { class: 'sr' }, t('notifications.new'), ' '), titleOf(item)),
        note.length ? el('span', { class: 'row-note' }, note) : null,
        el('time', { class: 'row-note', datetime: item.at }, momentOf(item.at)),
      ),
    ),
  );
}

/** What is opened is read. */
async function open(item) {
  if (item.transfer) await openTransfer(item.transfer, item);
  if (item.read) return;
  try {
    await post(`${PATH}/${encodeURIComponent(item.id)}/read`);
    if (!item.read) unread = Math.max(0, unread - 1);
    item.read = true;
    render();
    if (!byId('detail-dialog').open) byId('notifications').querySelector(`[data-notification="${CSS.escape(item.id)}"] button`)?.focus();
  } catch (error) {
    complain(error);
  }
}

async function markAll() {
  const newest = items[0];
  if (!newest) return;
  try {
    await post(`${PATH}/read`, { before: newest.id });
    items.forEach((item) => (item.read = true));
    unread = 0;
    render();
    byId('notifications-title').focus(); // the button that had the focus is gone
  } catch (error) {
    complain(error);
  }
}

export function wireNotifications() {
  byId('notifications-open').addEventListener('click', () => {
    openSheet(byId('notifications-dialog'));
    byId('notifications-title').focus();
  });
  byId('notifications-all').addEventListener('click', (event) => busy(event.target, markAll));
  byId('notifications-more').addEventListener('click', (event) =>
    busy(event.target, async () => {
      try {
        let from;
        let more;
        do {
          from = next;
          more = from ? await page(PATH, from, { limit: PAGE }) : { items: [], next: null };
        } while (from !== next); // the list was loaded anew meanwhile, and ends elsewhere
        items = items.concat(more.items);
        next = more.next;
        render();
        byId('notifications').children[items.length - more.items.length]?.querySelector('button')?.focus();
      } catch (error) {
        complain(error);
      }
    }),
  );
}
