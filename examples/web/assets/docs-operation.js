// One call: a line that opens. What is inside is made when it opens, so that a page of many calls is light.

import { copyButton } from '/assets/docs-copy.js';
import { code, inline, prose } from '/assets/docs-markdown.js';
import { example, exampleRequest, languages, sample } from '/assets/docs-samples.js';
import { el } from '/assets/dom.js';
import { schemaView } from '/assets/schema.js';
import { tryForm } from '/assets/try.js';

export const badge = (method) => el('span', { class: 'method', dataset: { method } }, method.toUpperCase());
// A long path breaks after its slashes, not within a word.
export const breakable = (path) => path.split(/(?<=\/)/).flatMap((part) => [part, el('wbr')]);

/** Fills a details element when it opens for the first time. */
export function lazy(details, build) {
  const fill = () => {
    if (details.dataset.filled) return;
    details.dataset.filled = 'yes';
    details.append(...[build()].flat().filter(Boolean));
  };
  details.addEventListener('toggle', () => details.open && fill());
  return fill;
}

export function operationView(entry) {
  const { id, method, path, operation } = entry;
  const details = el(
    'details',
    { class: 'operation-details' },
    el(
      'summary',
      { class: 'operation-head' },
      el('h3', { id: `${id}-title` }, operation.summary || `${method.toUpperCase()} ${path}`),
      el('span', { class: 'operation-path' }, badge(method), el('code', {}, breakable(path))),
    ),
  );
  const fill = lazy(details, () => el('div', { class: 'operation-body' }, body(entry)));
  const article = el('article', { class: 'panel operation', id, 'aria-labelledby': `${id}-title` }, details);
  entry.open = () => {
    fill();
    details.open = true;
    article.scrollIntoView();
    details.querySelector('summary').focus({ preventScroll: true });
  };
  return article;
}

function body(entry) {
  const { id, operation, parameters, resolve } = entry;
  const request = resolve(operation.requestBody);
  const trial = el('details', { class: 'try' }, el('summary', {}, 'Try it'));
  lazy(trial, () => tryForm(entry));
  return [
    operation.deprecated ? el('p', { class: 'notice' }, 'Deprecated.') : null,
    prose(operation.description),
    facts(operation),
    el(
      'p',
      { class: 'small-print' },
      'Name ',
      el('code', {}, id),
      ' · ',
      el('a', { href: `#${id}` }, 'Link to this call'),
    ),
    part('Request', samples(entry)),
    parameters.length
      ? part(
          'Parameters',
          el(
            'ul',
            { class: 'properties' },
            parameters.map((parameter) =>
              schemaView({
                name: parameter.name,
                schema: parameter.schema ?? {},
                required: parameter.required,
                note: parameter.in,
                about: parameter.description,
                resolve,
              }),
            ),
          ),
        )
      : null,
    request ? part('Request body', media(request, resolve)) : null,
    part(
      'Responses',
      Object.entries(operation.responses ?? {}).map(([status, raw]) => response(status, resolve(raw), resolve)),
    ),
    trial,
  ];
}

const part = (name, ...children) => el('section', { class: 'part' }, el('h4', {}, name), ...children.flat());

/** Who may call and how often, in words. */
function facts(operation) {
  const rows = [
    ['Who may call', callers(operation)],
    ['Repeating', repeating[operation['x-bank-idempotency']]],
    ['Limit class', operation['x-bank-limit-class']],
    ['Answers within', operation['x-bank-stream'] ? 'a stream: it stays open' : seconds(operation['x-bank-timeout-ms'])],
    ['Largest body', operation.requestBody ? bytes(operation['x-bank-body-limit']) : null],
  ];
  return el(
    'dl',
    { class: 'operation-facts' },
    rows
      .filter(([, value]) => value)
      .map(([name, value]) => el('div', {}, el('dt', {}, name), el('dd', {}, value))),
  );
}

const repeating = {
  safe: 'changes nothing: repeat it freely',
  idempotent: 'done twice is done once',
  key: 'with the same Idempotency-Key, which it needs',
  optional_key: 'with the same Idempotency-Key, where you send one',
  none: 'not without looking first: it may be done twice',
};

function callers(operation) {
  const { who, scopes = [], roles = [] } = operation['x-bank-access'] ?? {};
  const more = [
    scopes.length ? `scope ${scopes.join(' and ')}` : '',
    roles.length ? `role ${roles.join(' or ')}` : '',
  ].filter(Boolean);
  if (who === 'public') return 'anybody';
  if (who === 'optional') return 'anybody; a credential that is sent must hold';
  if (who === 'login') return 'whoever knows user name and password';
  return more.length ? `signed in, with ${more.join(' and ')}` : 'whoever is signed in';
}

const seconds = (ms) => (ms ? `${ms / 1000} s` : null);
const bytes = (count) => (count >= 1024 ? `${Math.round(count / 1024)} KiB` : count && `${count} bytes`);

let language = 'curl';

/** The same request in every language, in tabs. All calls show the language that was chosen last. */
function samples(entry) {
  const request = exampleRequest(entry, location.origin, example);
  const panel = el('div', { class: 'sample', role: 'tabpanel', id: `${entry.id}-sample` });
  const tabs = [...languages].map(([name, label]) =>
    el(
      'button',
      { type: 'button', role: 'tab', class: 'tab', dataset: { language: name }, 'aria-controls': panel.id },
      label,
    ),
  );
  const list = el('div', { class: 'tabs', role: 'tablist', 'aria-label': 'Language' }, tabs);
  const show = (name) => {
    for (const tab of tabs) {
      tab.setAttribute('aria-selected', String(tab.dataset.language === name));
      tab.tabIndex = tab.dataset.language === name ? 0 : -1;
    }
    const text = sample(name, request);
    panel.setAttribute('aria-label', languages.get(name));
    panel.replaceChildren(code(text, `${languages.get(name)} sample`), copyButton('Copy', () => text));
  };
  list.addEventListener('click', ({ target }) => {
    if (!target.dataset.language) return;
    language = target.dataset.language;
    show(language);
  });
  list.addEventListener('keydown', (event) => {
    const steps = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!steps) return;
    event.preventDefault();
    const next = tabs[(tabs.indexOf(event.target) + steps + tabs.length) % tabs.length];
    next.click();
    next.focus();
  });
  show(language);
  return el('div', { class: 'samples' }, list, panel);
}

/** What each media type holds: its examples, then its schema. */
function media({ content = {}, description }, resolve) {
  return [
    description ? el('p', { class: 'muted' }, inline(description)) : null,
    ...Object.entries(content).map(([type, { schema, examples = {} }]) =>
      el(
        'div',
        { class: 'media' },
        el('p', { class: 'small-print' }, type),
        Object.entries(examples).map(([name, { value }]) =>
          el(
            'figure',
            { class: 'example' },
            el('figcaption', { class: 'small-print' }, `Example: ${name}`),
            code(typeof value === 'string' ? value : JSON.stringify(value, null, 2), `Example ${name}`),
          ),
        ),
        schema ? el('ul', { class: 'properties' }, schemaView({ schema, resolve })) : null,
      ),
    ),
  ].filter(Boolean);
}

function response(status, answer, resolve) {
  const kind = String(status)[0];
  const codes = Object.values(answer.content ?? {})[0]?.schema?.properties?.code?.enum;
  const head = el(
    'summary',
    {},
    el('span', { class: 'status', dataset: { kind } }, status),
    el(
      'span',
      { class: 'response-text' },
      codes ? codes.flatMap((each) => [el('code', { class: 'problem-code' }, each), ' ']) : (answer.description ?? ''),
    ),
  );
  const details = el('details', { class: 'response' }, head);
  const fill = lazy(details, () =>
    el(
      'div',
      { class: 'response-body' },
      codes ? el('p', { class: 'muted' }, 'A ', el('a', { href: '#schema-Problem' }, 'problem document'), ' with one of these codes.') : null,
      headers(answer, resolve),
      codes ? null : media({ content: answer.content }, resolve),
    ),
  );
  if (kind === '2') {
    fill();
    details.open = true;
  }
  return details;
}

function headers(answer, resolve) {
  const rows = Object.entries(answer.headers ?? {}).map(([name, raw]) => {
    const { schema, description, required } = resolve(raw);
    return schemaView({ name, schema: schema ?? {}, about: description, required, note: 'header', resolve });
  });
  if (!rows.length) return null;
  return el(
    'details',
    { class: 'headers' },
    el('summary', { class: 'property-head' }, `Headers (${rows.length})`),
    el('ul', { class: 'properties' }, rows),
  );
}
