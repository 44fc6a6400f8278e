// "Try it": a real call to this bank, made from the form of one operation.

import { beginSession, csrfToken, endSession } from '/assets/api.js';
import { byId, el } from '/assets/dom.js';
import { example } from '/assets/schema.js';

let forms = 0;

export function tryForm({ method, path, operation, parameters, resolve }) {
  const prefix = `try-${(forms += 1)}`;
  const inputs = [];
  const add = (parameter, value = '') => {
    const id = `${prefix}-${parameter.in}-${parameter.name}`;
    const input = el('input', {
      id,
      class: 'mono',
      value: value === undefined ? '' : String(value),
      autocomplete: 'off',
      spellcheck: 'false',
      required: parameter.required,
    });
    inputs.push({ parameter, input });
    return el(
      'div',
      { class: 'field' },
      el(
        'label',
        { for: id },
        parameter.name,
        ' ',
        el('span', { class: 'muted' }, parameter.in + (parameter.required ? ', required' : '')),
      ),
      input,
    );
  };

  const isKey = (parameter) => parameter.in === 'header' && parameter.name.toLowerCase() === 'idempotency-key';
  const key = parameters.find(isKey);
  const fields = parameters
    .filter((parameter) => ['path', 'query', 'header'].includes(parameter.in) && !isKey(parameter))
    .map((parameter) =>
      add(parameter, parameter.example ?? (parameter.required ? resolve(parameter.schema)?.examples?.[0] : undefined)),
    );
  if (key) fields.push(add(key, `"${crypto.randomUUID()}"`));

  const [type, media] = Object.entries(resolve(operation.requestBody)?.content ?? {})[0] ?? [];
  let body = null;
  if (type) {
    const sample =
      media.example ?? Object.values(media.examples ?? {})[0]?.value ?? example(media.schema ?? {}, resolve);
    body = el('textarea', { id: `${prefix}-body`, class: 'mono', rows: '7', spellcheck: 'false' });
    body.value = typeof sample === 'string' ? sample : JSON.stringify(sample, null, 2);
    fields.push(
      el('div', { class: 'field' }, el('label', { for: body.id }, 'Body ', el('span', { class: 'muted' }, type)), body),
    );
  }

  const send = el('button', { class: 'button primary', type: 'submit' }, 'Send');
  const stop = el('button', { class: 'button', type: 'button', hidden: true }, 'Stop');
  const result = el('div', { class: 'result', role: 'status' });
  const form = el('form', { class: 'try-form' }, fields, el('div', { class: 'try-actions' }, send, stop), result);
  form.addEventListener('submit', async (event) => {
    event.preventDefault();
    const abort = new AbortController();
    stop.onclick = () => abort.abort();
    send.disabled = true;
    stop.hidden = false;
    try {
      await run({ method, path, inputs, type, body: body?.value, signal: abort.signal, result });
    } finally {
      send.disabled = false;
      stop.hidden = true;
    }
  });
  return form;
}

async function run({ method, path, inputs, type, body, signal, result }) {
  let url = path;
  const query = new URLSearchParams();
  const headers = new Headers();
  for (const { parameter, input } of inputs) {
    const value = input.value.trim();
    if (parameter.in === 'path') url = url.replace(`{${parameter.name}}`, encodeURIComponent(value));
    else if (value && parameter.in === 'query') query.append(parameter.name, value);
    else if (value) headers.set(parameter.name, value);
  }
  if (query.size) url += `?${query}`;
  if (body !== undefined) headers.set('Content-Type', type);
  // Two credentials in one request would be refused: a pasted token leaves the cookie at home.
  const bearer = byId('bearer').value.trim();
  if (bearer) headers.set('Authorization', `Bearer ${bearer}`);
  else if (method !== 'get' && csrfToken()) headers.set('X-CSRF-Token', csrfToken());

  const started = performance.now();
  let response;
  try {
    response = await fetch(url, {
      method: method.toUpperCase(),
      headers,
      body,
      credentials: bearer ? 'omit' : 'same-origin',
      cache: 'no-store',
      signal,
    });
  } catch (error) {
    result.replaceChildren(
      el('p', { class: 'form-error' }, signal.aborted ? 'Stopped.' : `No answer: ${error.message}`),
    );
    return;
  }
  const output = el('pre', { class: 'code', tabindex: '0', 'aria-label': 'Response body' });
  const took = el('span', { class: 'muted' });
  const time = () => (took.textContent = `${Math.round(performance.now() - started)} ms`);
  time();
  result.replaceChildren(
    el(
      'p',
      { class: 'result-head' },
      el('span', { class: 'status', dataset: { kind: String(response.status)[0] } }, `${response.status}`),
      el('span', {}, response.statusText),
      took,
    ),
    el(
      'details',
      {},
      el('summary', {}, 'Headers'),
      el(
        'pre',
        { class: 'code', tabindex: '0', 'aria-label': 'Response headers' },
        [...response.headers].map(([name, value]) => `${name}: ${value}`).join('\n'),
      ),
    ),
    output,
  );

  // An event stream does not end: it is shown as it comes.
  let text = '';
  try {
    const reader = response.body?.pipeThrough(new TextDecoderStream()).getReader();
    for (let chunk = await reader?.read(); chunk && !chunk.done; chunk = await reader.read()) {
      text += chunk.value;
      output.textContent = text;
    }
  } catch {
    return; // stopped, or the connection went: what came is on the page
  }
  time();
  output.textContent = text ? pretty(text) : 'No body.';
  follow(method, path, response, text);
}

function pretty(text) {
  try {
    return JSON.stringify(JSON.parse(text), null, 2);
  } catch {
    return text;
  }
}

/** Signing in or out here changes this tab's session, so the token must go with it. */
function follow(method, path, response, text) {
  if (!response.ok || !path.startsWith('/v1/sessions')) return;
  if (method === 'delete') endSession();
  else {
    const token = JSON.parse(text || '{}').csrf_token;
    if (!token) return;
    sessionStorage.removeItem('bank.customer');
    beginSession(token);
  }
  document.dispatchEvent(new Event('session-changed'));
}
