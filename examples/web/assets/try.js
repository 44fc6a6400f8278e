// "Try it": a real call to this bank, made from the form of one operation.

import { copyButton } from '/assets/docs-copy.js';
import { accessToken, csrfToken } from '/assets/docs-credential.js';
import { example, isKey, needsToken, sample } from '/assets/docs-samples.js';
import { el } from '/assets/dom.js';

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
    return field(id, parameter.name, parameter.in + (parameter.required ? ', required' : ', optional'), input);
  };
  // The page itself knows the session's token.
  const isOwn = (parameter) => parameter.in === 'header' && parameter.name.toLowerCase() === 'x-csrf-token';
  const fields = parameters
    .filter((parameter) => ['path', 'query'].includes(parameter.in))
    .map((parameter) => add(parameter));
  for (const parameter of parameters.filter((each) => each.in === 'header' && !isOwn(each)))
    fields.push(add(parameter, isKey(parameter) ? `"${crypto.randomUUID()}"` : ''));

  const [type, media] = Object.entries(resolve(operation.requestBody)?.content ?? {})[0] ?? [];
  let body = null;
  if (type) {
    const value = Object.values(media.examples ?? {})[0]?.value ?? example(media.schema ?? {}, resolve);
    body = el('textarea', { id: `${prefix}-body`, class: 'mono', rows: '7', spellcheck: 'false' });
    body.value = JSON.stringify(value, null, 2);
    fields.push(field(body.id, 'Body', type, body));
  }
  const types = answerTypes(operation, resolve);
  let accept = null;
  if (types.length > 1) {
    accept = el('select', { id: `${prefix}-accept` }, types.map((each) => el('option', {}, each)));
    fields.push(field(accept.id, 'Answer as', 'Accept', accept));
  }

  const build = () => {
    const request = { method, path, headers: [], body: body?.value, type, bearer: needsToken(operation) };
    const query = new URLSearchParams();
    for (const { parameter, input } of inputs) {
      const value = input.value.trim();
      if (parameter.in === 'path') request.path = request.path.replace(`{${parameter.name}}`, encodeURIComponent(value));
      else if (value && parameter.in === 'query') query.append(parameter.name, value);
      else if (value) request.headers.push([parameter.name, value]);
    }
    if (query.size) request.path += `?${query}`;
    if (accept) request.headers.push(['Accept', accept.value]);
    return request;
  };
  const asCurl = () => {
    const { body: text, ...request } = build();
    const url = location.origin + request.path;
    return sample('curl', { ...request, url, body: text === undefined ? undefined : parsed(text) });
  };

  const send = el('button', { class: 'button primary', type: 'submit' }, 'Send');
  const stop = el('button', { class: 'button', type: 'button', hidden: true }, 'Stop');
  const result = el('div', { class: 'result', role: 'status' });
  const actions = el('div', { class: 'try-actions' }, send, stop, copyButton('Copy as curl', asCurl));
  const form = el('form', { class: 'try-form' }, fields, actions, result);
  form.addEventListener('submit', async (event) => {
    event.preventDefault();
    const abort = new AbortController();
    stop.onclick = () => abort.abort();
    send.disabled = true;
    stop.hidden = false;
    try {
      await run(build(), abort.signal, result);
    } finally {
      send.disabled = false;
      stop.hidden = true;
    }
  });
  return form;
}

function field(id, name, note, input) {
  return el('div', { class: 'field' }, el('label', { for: id }, name, ' ', el('span', { class: 'muted' }, note)), input);
}

/** The media types of success. */
function answerTypes(operation, resolve) {
  const success = Object.entries(operation.responses ?? {}).find(([status]) => status.startsWith('2'));
  return Object.keys(resolve(success?.[1])?.content ?? {});
}

async function run({ method, path, headers, body, type, bearer }, signal, result) {
  const fields = new Headers(headers);
  if (body !== undefined) fields.set('Content-Type', type);
  // Two credentials in one request would be refused: a token leaves the cookie at home. So does a call that needs none.
  const token = bearer ? await accessToken() : null;
  if (token) fields.set('Authorization', `Bearer ${token}`);
  else if (bearer && method !== 'get') {
    const csrf = await csrfToken();
    if (csrf) fields.set('X-CSRF-Token', csrf);
  }
  const started = performance.now();
  let response;
  try {
    response = await fetch(path, {
      method: method.toUpperCase(),
      headers: fields,
      body,
      credentials: token || !bearer ? 'omit' : 'same-origin',
      cache: 'no-store',
      signal,
    });
  } catch (error) {
    const text = signal.aborted ? 'Stopped.' : `No answer: ${error.message}`;
    result.replaceChildren(el('p', { class: 'form-error' }, text));
    return;
  }
  const output = el('pre', { class: 'code', tabindex: '0', role: 'group', 'aria-label': 'Response body' });
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
        { class: 'code', tabindex: '0', role: 'group', 'aria-label': 'Response headers' },
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
  const value = parsed(text);
  output.textContent = text ? (typeof value === 'string' ? text : JSON.stringify(value, null, 2)) : 'No body.';
}

/** JSON as its value, anything else as the text that it is. */
function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}
