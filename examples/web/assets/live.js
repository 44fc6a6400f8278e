// Events from the bank as they happen: one stream for all tabs of a browser.
//
// The tab that holds the lock reads the stream and passes on what comes; when it closes, the lock goes to the next. From a
// tab that was put to sleep and says nothing any more, a tab that can be seen takes the lock. Without locks each tab that
// can be seen reads a stream of its own.

import { SignedOut, currentSession } from '/assets/api.js';
import { byId } from '/assets/dom.js';
import { t } from '/assets/i18n.js';

// The bank sends a `ping` every 15 seconds. Two may be late.
const SILENCE = 40_000;
const kinds = ['notification', 'transfer', 'message'];
let stream = null;

/** `changed(kind, data)` for each event, and with kind "reconnected" when some may have been missed. */
export function connect(customer, changed) {
  disconnect();
  stream = new LiveStream(customer, changed);
}

export function disconnect() {
  stream?.end();
  stream = null;
  byId('live').hidden = true;
}

addEventListener('offline', () => stream?.show('offline'));
addEventListener('online', () => stream?.wake());
document.addEventListener('visibilitychange', () => stream?.seen());

class LiveStream {
  source = null;
  leads = false;
  missed = false;
  heard = Date.now();
  pause = 1000;
  stop = new AbortController();

  constructor(customer, changed) {
    this.changed = changed;
    this.show('connecting');
    this.watch = setInterval(() => this.check(), 5000);
    this.name = `bank-live-${customer}`;
    this.shared = Boolean(navigator.locks) && 'BroadcastChannel' in globalThis;
    if (!this.shared) return this.lead();
    this.channel = new BroadcastChannel(this.name);
    this.channel.onmessage = ({ data }) => this.told(data);
    this.queue();
    this.tell({ kind: 'who' });
  }

  /** Waits for its turn to lead, or takes the lock at once. */
  queue({ steal = false } = {}) {
    this.turn?.abort();
    const turn = (this.turn = new AbortController());
    const mine = () => this.turn === turn && !this.ended;
    navigator.locks
      .request(this.name, steal ? { steal } : { signal: turn.signal }, () => {
        if (!mine()) return null;
        this.lead();
        return new Promise((resolve) => this.stop.signal.addEventListener('abort', resolve));
      })
      .catch(() => {
        if (!mine()) return;
        // Another tab took the lock while this one slept.
        this.leads = false;
        this.source?.close();
        this.source = null;
        this.missed = true;
        this.heard = Date.now();
        this.show('connecting');
        this.queue();
      });
  }

  end() {
    this.stop.abort();
    this.turn?.abort();
    clearInterval(this.watch);
    clearTimeout(this.retry);
    this.source?.close();
    this.channel?.close();
  }

  get ended() {
    return this.stop.signal.aborted;
  }

  show(state) {
    this.state = state;
    const indicator = byId('live');
    indicator.hidden = false;
    indicator.dataset.state = state;
    indicator.firstElementChild.textContent = t(`live.${state}`);
    indicator.title = t(state === 'live' ? 'live.on' : 'live.off');
  }

  tell(message) {
    if (!this.ended) this.channel?.postMessage(message);
  }

  /** What another tab says. */
  told({ kind, state, event, data }) {
    if (kind === 'who') {
      if (this.leads) this.tell({ kind: 'state', state: this.state });
      return;
    }
    if (this.leads) return;
    this.heard = Date.now();
    if (kind === 'state') {
      // Between two leaders, or between two streams of one, something may have been missed.
      if (state !== 'live') this.missed = true;
      else if (this.missed) this.changed('reconnected', {});
      if (state === 'live') this.missed = false;
      this.show(navigator.onLine ? state : 'offline');
    } else if (kind === 'event') {
      this.pass(event, data);
    }
  }

  /** What the stream says, to this tab and all others. */
  spread(state) {
    this.show(state);
    this.tell({ kind: 'state', state });
  }

  pass(event, data) {
    if (event === 'ping') {
      if (this.state !== 'live' && navigator.onLine) this.show('live');
    } else {
      this.changed(event, data);
    }
  }

  lead() {
    // Whoever had the lock before may have gone in the middle of something. Where nobody had it, something may have happened
    // between the first load and this stream.
    this.missed = true;
    this.leads = true;
    this.open();
  }

  open() {
    clearTimeout(this.retry);
    this.source?.close();
    this.heard = Date.now();
    const source = (this.source = new EventSource('/v1/events'));
    // The cookie may have become another customer's since the last stream. Nothing is passed on before it is known whose it
    // is, and nothing at all where that cannot be known.
    let ours = Promise.resolve(false);
    const mine = () => this.source === source && !this.ended;
    source.onopen = () => {
      this.heard = Date.now();
      ours = currentSession().then(
        () => {
          if (!mine()) return false;
          this.pause = 1000;
          this.spread('live');
          if (this.missed) this.report('reconnected', {});
          this.missed = false;
          return true;
        },
        (error) => {
          source.close();
          if (!mine() || error instanceof SignedOut) return false;
          this.missed = true;
          this.spread(navigator.onLine ? 'connecting' : 'offline');
          this.again();
          return false;
        },
      );
    };
    source.onerror = () => {
      if (!mine()) return;
      this.missed = true;
      const closed = source.readyState === EventSource.CLOSED;
      this.spread(closed || !navigator.onLine ? 'offline' : 'connecting');
      if (closed) this.again();
    };
    for (const kind of ['ping', ...kinds]) {
      source.addEventListener(kind, async (event) => {
        this.heard = Date.now();
        if ((await ours) && mine()) this.report(kind, parse(event.data));
      });
    }
  }

  report(event, data) {
    this.pass(event, data);
    this.tell({ kind: 'event', event, data });
  }

  /** The bank refused the stream: later once more, if there is still a session. */
  again() {
    this.retry = setTimeout(async () => {
      try {
        await currentSession();
      } catch (error) {
        if (error instanceof SignedOut) return;
      }
      if (this.ended) return;
      this.pause = Math.min(this.pause * 2, 30_000);
      this.open();
    }, this.pause);
  }

  /** A connection that broke without a word shows by its silence. */
  check() {
    if (this.state === 'offline' && !navigator.onLine) return;
    if (Date.now() - this.heard < SILENCE) return;
    if (this.leads && this.source) {
      this.missed = true;
      this.spread('offline');
      this.open();
    } else {
      this.missed = true;
      this.show('offline');
      if (this.shared && !document.hidden) this.queue({ steal: true });
    }
  }

  /** The network is back. */
  wake() {
    this.missed = true;
    this.show('connecting');
    if (this.leads) this.open();
    else this.tell({ kind: 'who' });
  }

  /** Without locks, a hidden tab reads nothing, so that it takes no connection from the tabs that can be seen. */
  seen() {
    if (this.shared) return;
    if (document.hidden) {
      this.source?.close();
      this.source = null;
      this.missed = true;
      this.show('connecting');
    } else if (!this.source) {
      this.open();
    }
  }
}

function parse(text) {
  try {
    return JSON.parse(text) ?? {};
  } catch {
    return {};
  }
}
