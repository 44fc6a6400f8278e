// Calls to the bank. The session is the HttpOnly cookie; the page itself only ever holds the CSRF token.

const CSRF = 'bank.csrf';
const unsafe = new Set(['POST', 'PUT', 'PATCH', 'DELETE']);

/** The bank answered, and said no: an RFC 9457 problem document. */
export class Problem extends Error {
  constructor(status, document, headers) {
    super(document.detail || document.title || fallback(status));
    this.status = status;
    this.code = document.code;
    this.instance = document.instance || headers.get('X-Request-Id') || '';
    this.errors = (Array.isArray(document.errors) ? document.errors : []).map((entry) => ({
      field: fieldName(entry.field ?? entry.pointer ?? ''),
      message: entry.message ?? entry.detail ?? 'Not accepted.',
    }));
    this.retryAfter = seconds(headers.get('Retry-After'));
  }
}

/** No answer, or none that can be read: what the bank did is not known. */
export class Unreachable extends Error {
  constructor(cause) {
    super('The bank cannot be reached. Check your connection.', { cause });
  }
}

/** The session ended under this call. Views drop it: the sign-in page is already on its way. */
export class SignedOut extends Error {}

// Everything in flight belongs to one session, and is given up with it.
let lifetime = new AbortController();
let onSessionLost = () => {};

export function whenSessionLost(callback) {
  onSessionLost = callback;
}

export function beginSession(token) {
  sessionStorage.setItem(CSRF, token);
}

export function csrfToken() {
  return sessionStorage.getItem(CSRF);
}

export function endSession() {
  sessionStorage.removeItem(CSRF);
  lifetime.abort();
  lifetime = new AbortController();
}

/**
 * One call. `anonymous` calls (sign in, register) read a 401 as an answer; for all others it means the session is over.
 * Resolves to { status, data, headers }, or throws Problem, Unreachable or SignedOut.
 */
export async function call(method, path, { body, headers = {}, anonymous = false, timeout = 20_000 } = {}) {
  const session = lifetime.signal;
  const sent = { Accept: 'application/json, application/problem+json', ...headers };
  if (body !== undefined) sent['Content-Type'] = 'application/json';
  if (unsafe.has(method) && !anonymous && csrfToken()) sent['X-CSRF-Token'] = csrfToken();

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
    text = await response.text();
  } catch (cause) {
    if (session.aborted) throw new SignedOut();
    throw new Unreachable(cause);
  }
  if (session.aborted) throw new SignedOut();

  const data = parse(text);
  if (response.ok) {
    if (text && data === undefined) throw new Unreachable(new Error('The answer is not JSON'));
    return { status: response.status, data, headers: response.headers };
  }
  const problem = new Problem(response.status, data && typeof data === 'object' ? data : {}, response.headers);
  const lost = response.status === 401 || (response.status === 403 && /csrf/i.test(problem.code ?? ''));
  if (lost && !anonymous) {
    onSessionLost();
    throw new SignedOut();
  }
  throw problem;
}

export const get = (path, options) => call('GET', path, options).then((answer) => answer.data);
export const post = (path, body, options) => call('POST', path, { body, ...options }).then((answer) => answer.data);

/** A page of a list: { items, next }. */
export async function page(path, after, limit = 25) {
  const query = new URLSearchParams({ limit: String(limit) });
  if (after) query.set('after', after);
  const data = await get(`${path}?${query}`);
  return { items: data?.items ?? [], next: data?.next ?? null };
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

function fallback(status) {
  if (status === 429) return 'Too many requests.';
  if (status >= 500) return 'The bank has a problem at the moment. Try again shortly.';
  return `The bank refused this (${status}).`;
}
