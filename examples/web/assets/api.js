// Calls to the bank. The session is an HttpOnly cookie, one for all tabs; the token that writes need stays in memory.

import { browser } from '/assets/store.js';

const HINT = 'bank.session';
const CURRENT = '/v1/sessions/current';
const unsafe = new Set(['POST', 'PUT', 'PATCH', 'DELETE']);

/** The bank answered, and said no: an RFC 9457 problem document. What the page says about it is in problems.js. */
export class Problem extends Error {
  constructor(status, document, headers) {
    super(document.detail || document.title || `status ${status}`); // for programs, and for the console
    this.status = status;
    this.code = document.code;
    this.instance = document.instance || headers.get('X-Request-Id') || '';
    this.errors = (Array.isArray(document.errors) ? document.errors : []).map(({ field, pointer }) => ({
      field: fieldName(field ?? pointer ?? ''),
    }));
    this.retryAfter = seconds(headers.get('Retry-After'));
  }
}

/** No answer, or none that can be read: what the bank did is not known. */
export class Unreachable extends Error {}

/** The session ended under this call, or became another person's. Views drop it: another page is already on its way. */
export class SignedOut extends Error {}

// Everything in flight belongs to one session, and is given up with it.
let lifetime = new AbortController();
let token = null;
// Whose data the page shows. Every answer to the cookie says whose it is; none of another customer gets past `call`.
let shown = null;
let onSessionLost = () => {};
let onOtherCustomer = () => location.reload();
let lastAnswer = 0;

export const whenSessionLost = (callback) => (onSessionLost = callback);
export const whenOtherCustomer = (callback) => (onOtherCustomer = callback);
export const secondsSinceAnswer = () => (Date.now() - lastAnswer) / 1000;

/** There is a session, with this token. The browser remembers that there is one, so that no page asks in vain. */
export function beginSession(csrf) {
  token = csrf ?? null;
  browser.set(HINT, true);
}

export const mayHaveSession = () => browser.get(HINT) !== null;

/** From now on answers for anybody else are refused. */
export const show = (customer) => (shown = customer);

/** `keepHint` where the cookie is still good, and has to be ended later. */
export function endSession({ keepHint = false } = {}) {
  token = null;
  shown = null;
  if (!keepHint) browser.remove(HINT);
  lifetime.abort();
  lifetime = new AbortController();
}

/** The token at hand. Where there may be one that this page has not got yet, it is fetched and `session-changed` follows. */
export function csrfToken() {
  if (!token && mayHaveSession())
    currentSession()
      .then(() => document.dispatchEvent(new Event('session-changed')))
      .catch(() => {});
  return token;
}

/** What the cookie is of; takes its token. One question at a time serves all who ask. */
let asking = null;
export function currentSession(options) {
  asking ??= call('GET', CURRENT, options)
    .then(({ data }) => {
      if (!options?.anyone) checkCustomer(data.customer);
      beginSession(data.csrf_token);
      return data;
    })
    .finally(() => (asking = null));
  return asking;
}

/**
 * One call. `anonymous` calls (sign in, register) read a 401 as an answer; for all others it means the session is over.
 * `anyone` takes an answer for whoever the cookie is of. `accept` asks for text of another type.
 * Resolves to { status, data, headers }, or throws Problem, Unreachable or SignedOut.
 */
export async function call(method, path, options = {}) {
  const { anonymous = false, anyone = false } = options;
  const writes = unsafe.has(method) && !anonymous;
  if (writes && !token) await currentSession({ anyone });
  try {
    return await attempt(method, path, options);
  } catch (error) {
    // Another tab may have signed in anew: the cookie is good, only the token here is old.
    if (!writes || !(error instanceof Problem) || error.code !== 'csrf_token') throw error;
    await currentSession({ anyone });
    return attempt(method, path, options);
  }
}

async function attempt(method, path, { body, headers = {}, anonymous, anyone, accept, timeout = 20_000 }) {
  const session = lifetime.signal;
  const sent = { Accept: accept ? `${accept}, application/problem+json` : 'application/json, application/problem+json' };
  Object.assign(sent, headers);
  if (body !== undefined) sent['Content-Type'] = 'application/json';
  if (unsafe.has(method) && !anonymous && token) sent['X-CSRF-Token'] = token;

  let response;
  let text;
  try {
    response = await fetch(path, {
      method,
      headers: sent,
      body: body === undefined ? undefined : JSON.stringify(body),
      credentials: 'same-origin',
      cache: 'no-store',
      signal: AbortSignal.any([session, AbortSignal.timeout(timeout)]),
    });
    if (!anonymous && !anyone) checkCustomer(response.headers.get('Bank-Customer'));
    text = await response.text();
  } catch (cause) {
    if (session.aborted || cause instanceof SignedOut) throw new SignedOut();
    throw new Unreachable('no answer', { cause });
  }
  if (session.aborted) throw new SignedOut();
  lastAnswer = Date.now();

  if (response.ok && accept) return { status: response.status, data: text, headers: response.headers };
  const data = parse(text);
  if (response.ok) {
    if (text && data === undefined) throw new Unreachable('the answer is not JSON');
    return { status: response.status, data, headers: response.headers };
  }
  const problem = new Problem(response.status, data && typeof data === 'object' ? data : {}, response.headers);
  if (response.status === 401 && !anonymous) {
    onSessionLost();
    throw new SignedOut();
  }
  throw problem;
}

function checkCustomer(customer) {
  if (!shown || !customer || customer === shown) return;
  lifetime.abort();
  onOtherCustomer();
  throw new SignedOut();
}

export const get = (path, options) => call('GET', path, options).then((answer) => answer.data);
export const post = (path, body, options) => call('POST', path, { body, ...options }).then((answer) => answer.data);

// The most items of a page, and how many empty pages are looked through before somebody is asked whether to go on.
const MOST = 200;
const PATIENCE = 20;

/** A page of a list: { items, next, … }. What is empty in `query` is left out. */
export async function page(path, after, query = {}) {
  const parameters = new URLSearchParams();
  for (const [name, value] of Object.entries({ ...query, after })) if (value) parameters.set(name, value);
  const data = await get(parameters.size ? `${path}?${parameters}` : path);
  return { ...data, items: data?.items ?? [], next: data?.next ?? null };
}

/**
 * A list from its start, with at least as many items as are shown of it, and with one where there is any: a page may be empty
 * and not the last. `isWanted` says whether to go on.
 */
export async function head(path, query, { shown = 0, isWanted = () => true } = {}) {
  const limit = Math.min(Math.max(shown, query.limit), MOST);
  const first = await page(path, null, { ...query, limit });
  const rest = await more(path, first, query, { count: Math.max(shown, 1) - first.items.length, limit, isWanted });
  return { ...first, items: first.items.concat(rest.items), next: rest.next };
}

/** The next items, `count` of them where there are as many. */
export async function more(path, { next }, query, { count = 1, limit = query.limit, isWanted = () => true } = {}) {
  let items = [];
  let empty = 0;
  while (next && items.length < count && empty < PATIENCE && isWanted()) {
    const part = await page(path, next, { ...query, limit });
    items = items.concat(part.items);
    empty = part.items.length ? 0 : empty + 1;
    next = part.next;
  }
  return { items, next };
}

/** Every item of a list. */
export async function all(path, query) {
  let items = [];
  let after = null;
  do {
    const part = await page(path, after, query);
    items = items.concat(part.items);
    after = part.next;
  } while (after);
  return items;
}

function parse(text) {
  if (!text) return null;
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

// "/amount/amount", "#/amount" and "amount.amount" all belong to the input called "amount".
function fieldName(path) {
  return String(path)
    .replace(/^[#/$.]+/, '')
    .split(/[/.[]/)[0];
}

function seconds(header) {
  if (!header) return null;
  if (/^\d+$/.test(header.trim())) return Number(header);
  const at = Date.parse(header);
  return Number.isNaN(at) ? null : Math.max(0, Math.ceil((at - Date.now()) / 1000));
}
