// Events from the bank as they happen. EventSource reconnects by itself after a lost connection; only where the bank
// answered with an error does it give up, and then this file starts a new one.

import { SignedOut, get } from '/assets/api.js';
import { byId } from '/assets/dom.js';

const labels = { connecting: 'Connecting', live: 'Live', offline: 'Offline' };
let source = null;
let retry = null;

function show(state) {
  const indicator = byId('live');
  indicator.hidden = false;
  indicator.dataset.state = state;
  indicator.firstElementChild.textContent = labels[state];
  indicator.title =
    state === 'live' ? 'Updates arrive as they happen' : 'Updates will arrive once the connection is back';
}

/** `changed(kind, data)` for each event, and once with kind "reconnected" when some may have been missed. */
export function connect(changed) {
  disconnect();
  show('connecting');
  open(changed, 1000);
}

function open(changed, pause) {
  let lost = pause > 1000;
  const mine = (source = new EventSource('/v1/events'));
  mine.onopen = () => {
    show('live');
    if (lost) changed('reconnected', {});
    lost = false;
    pause = 1000;
  };
  mine.onerror = () => {
    if (source !== mine) return;
    lost = true;
    show(mine.readyState === EventSource.CLOSED || !navigator.onLine ? 'offline' : 'connecting');
    if (mine.readyState !== EventSource.CLOSED) return;
    retry = setTimeout(async () => {
      try {
        await get('/v1/me'); // a session that has ended shows here, and takes the page to sign-in
      } catch (error) {
        if (error instanceof SignedOut) return;
      }
      if (source === mine) open(changed, Math.min(pause * 2, 30_000));
    }, pause);
  };
  for (const kind of ['notification', 'transfer', 'message']) {
    mine.addEventListener(kind, (event) => changed(kind, parse(event.data)));
  }
}

export function disconnect() {
  clearTimeout(retry);
  source?.close();
  source = null;
  byId('live').hidden = true;
}

function parse(text) {
  try {
    return JSON.parse(text) ?? {};
  } catch {
    return {};
  }
}
