// The inbox, its unread badge, and the message for what has just arrived.

import { SignedOut, page, post } from '/assets/api.js';
import { busy, byId, el, empty, failed, fill, skeleton, toast } from '/assets/dom.js';
import { format } from '/assets/money.js';
import { showTransfer } from '/assets/activity.js';
import { dayOf, timeOf } from '/assets/times.js';

let items = [];
let next = null;
let loaded = false;
// A reconnect may bring an event again; each is announced once. Null until the first load has said what is old.
let announced = null;

export async function loadNotifications() {
  try {
    const first = await page('/v1/notifications');
    items = first.items;
    next = first.next;
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
  loaded = false;
  announced = null;
  render();
  skeleton(byId('notifications'), 3);
}

/** Says what an event is about, once. */
export function announceEvent(kind, data) {
  if (kind === 'transfer' || !(data.title || data.body)) return;
  if (data.id && announced?.has(data.id)) return;
  announced?.add(data.id);
  // The payment just made from here has its own card.
  if (/sent/i.test(`${data.kind} ${data.title}`) && !byId('send-status').hidden) return;
  toast(headline(data), /receiv|incoming|_in$/i.test(`${data.kind} ${data.title}`) ? 'in' : 'info');
}

// "You received" alone says too little: the amount is added where the words leave it out.
function headline({ title, body, amount }) {
  const text = title || body;
  if (!amount?.amount || /\d/.test(text)) return text;
  return body && body !== text && /\d/.test(body) ? body : `${text}: ${format(amount)}`;
}

function render() {
  const unread = items.filter((item) => !item.read).length;
  const badge = byId('notifications-badge');
  badge.hidden = unread === 0;
  badge.textContent = unread > 9 ? '9+' : String(unread);
  byId('notifications-label').textContent = unread ? `Notifications, ${unread} unread` : 'Notifications';
  byId('notifications-all').hidden = unread === 0;
  byId('notifications-more').hidden = !next;
  fill(
    byId('notifications'),
    items.length ? items.map(row) : [empty('bell', 'All quiet', 'You will be told here when money arrives or leaves.')],
  );
}

function row(item) {
  const text = headline(item);
  return el(
    'li',
    { class: item.read ? 'note' : 'note unread', dataset: { notification: item.id, read: String(Boolean(item.read)) } },
    el(
      'div',
      { class: 'grow' },
      el('p', { class: 'row-title' }, item.read ? null : el('span', { class: 'sr' }, 'Unread: '), text),
      item.body && item.body !== text ? el('p', { class: 'row-note' }, item.body) : null,
      el('p', { class: 'row-note' }, el('time', { datetime: item.at }, `${dayOf(item.at)}, ${timeOf(item.at)}`)),
    ),
    el(
      'div',
      { class: 'note-actions' },
      item.transfer
        ? el(
            'button',
            {
              class: 'link',
              type: 'button',
              onclick: () => showTransfer(typeof item.transfer === 'string' ? item.transfer : item.transfer.id),
            },
            'Details',
          )
        : null,
      item.read
        ? null
        : el(
            'button',
            { class: 'link', type: 'button', onclick: (event) => busy(event.target, () => markRead([item])) },
            'Mark read',
          ),
    ),
  );
}

async function markRead(unread) {
  try {
    for (const item of unread) {
      await post(`/v1/notifications/${encodeURIComponent(item.id)}/read`);
      item.read = true;
    }
  } catch (error) {
    if (error instanceof SignedOut) return;
    toast(error.message, 'error');
  }
  render();
  byId('notifications-title').focus(); // the button that had the focus is gone
}

export function wireNotifications() {
  byId('notifications-open').addEventListener('click', () => {
    byId('notifications-dialog').showModal();
    byId('notifications-title').focus();
  });
  byId('notifications-all').addEventListener('click', (event) =>
    busy(event.target, () => markRead(items.filter((item) => !item.read))),
  );
  byId('notifications-more').addEventListener('click', (event) =>
    busy(event.target, async () => {
      try {
        const more = await page('/v1/notifications', next);
        items = items.concat(more.items);
        next = more.next;
        render();
      } catch (error) {
        if (!(error instanceof SignedOut)) toast(error.message, 'error');
      }
    }),
  );
}
