// Renders /openapi.json (OpenAPI 3.1), grouped by tag.

import { csrfToken, get } from '/assets/api.js';
import { byId, el, failed } from '/assets/dom.js';
import { wireFilter } from '/assets/docs-filter.js';
import { resolver, schemaView } from '/assets/schema.js';
import { tryForm } from '/assets/try.js';

const methods = ['get', 'post', 'put', 'patch', 'delete'];

async function start() {
  showSession();
  const box = byId('operations');
  try {
    const spec = await get('/openapi.json');
    render(spec);
    box.removeAttribute('aria-busy');
    document.getElementById(decodeURIComponent(location.hash.slice(1)))?.scrollIntoView();
  } catch (error) {
    failed(box, error, start);
  }
}

function showSession() {
  byId('credentials-session').textContent = csrfToken()
    ? 'Calls are made with the session you have in this tab.'
    : 'You are not signed in in this tab. Sign in to the bank first, or paste an access token below.';
}
document.addEventListener('session-changed', showSession);

function render(spec) {
  const resolve = resolver(spec);
  byId('docs-title').textContent = spec.info?.title
    ? `${spec.info.title} API`.replace(/ API API$/i, ' API')
    : 'API reference';
  byId('docs-about').replaceChildren(
    [spec.info?.description ?? spec.info?.summary, spec.info?.version && `Version ${spec.info.version}`]
      .filter(Boolean)
      .join(' · '),
  );

  const groups = new Map((spec.tags ?? []).map((tag) => [tag.name, { about: tag.description, operations: [] }]));
  for (const [path, rawItem] of Object.entries(spec.paths ?? {})) {
    const item = resolve(rawItem);
    for (const method of methods.filter((name) => item[name])) {
      const operation = item[method];
      const parameters = merge(item.parameters, operation.parameters, resolve);
      const tag = operation.tags?.[0] ?? operation['x-bank-service'] ?? 'Other';
      if (!groups.has(tag)) groups.set(tag, { operations: [] });
      const id = operation.operationId ?? `${method}${path}`.replace(/[^\w]+/g, '-');
      groups.get(tag).operations.push({ id, method, path, operation, parameters, spec, resolve });
    }
  }

  const used = [...groups].filter(([, group]) => group.operations.length);
  byId('operations').replaceChildren(
    ...used.map(([name, group]) =>
      el(
        'section',
        { class: 'group', 'aria-label': name },
        el('h2', { class: 'group-title' }, title(name)),
        group.about ? el('p', { class: 'muted' }, group.about) : null,
        group.operations.map(operationView),
      ),
    ),
  );
  byId('toc').replaceChildren(
    ...used.map(([name, group]) =>
      el(
        'section',
        { class: 'toc-group' },
        el('h2', {}, title(name)),
        el(
          'ul',
          {},
          group.operations.map(({ id, method, path }) =>
            el(
              'li',
              { dataset: { for: id } },
              el('a', { href: `#${id}` }, badge(method), el('span', { class: 'path' }, breakable(path))),
            ),
          ),
        ),
      ),
    ),
  );
  wireFilter(used.flatMap(([, group]) => group.operations));
}

const title = (name) => name.charAt(0).toUpperCase() + name.slice(1);
const badge = (method) => el('span', { class: 'method', dataset: { method } }, method.toUpperCase());
// A long path breaks after its slashes, not within a word.
const breakable = (path) => path.split(/(?<=\/)/).flatMap((part) => [part, el('wbr')]);

function merge(shared = [], own = [], resolve) {
  const all = new Map();
  for (const parameter of [...shared, ...own].map(resolve)) all.set(`${parameter.in} ${parameter.name}`, parameter);
  return [...all.values()];
}

function operationView(entry) {
  const { id, method, path, operation, parameters, resolve } = entry;
  const body = resolve(operation.requestBody);
  const trial = el('details', { class: 'try' }, el('summary', {}, 'Try it'));
  trial.addEventListener('toggle', () => trial.children.length === 1 && trial.append(tryForm(entry)));
  return el(
    'article',
    { class: 'panel operation', id, 'aria-labelledby': `${id}-title` },
    el(
      'header',
      { class: 'operation-head' },
      el('h3', { id: `${id}-title` }, operation.summary || `${method.toUpperCase()} ${path}`),
      el(
        'p',
        { class: 'operation-path' },
        badge(method),
        el('code', {}, breakable(path)),
        el('a', { class: 'anchor', href: `#${id}`, 'aria-label': `Link to ${operation.summary || path}` }, '#'),
      ),
    ),
    operation.deprecated ? el('p', { class: 'notice' }, 'Deprecated.') : null,
    paragraphs(operation.description),
    facts(entry),
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
    body ? part('Request body', ...contents(body, resolve)) : null,
    part(
      'Responses',
      ...Object.entries(operation.responses ?? {}).map(([status, raw]) => response(status, resolve(raw), resolve)),
    ),
    trial,
  );
}

const part = (name, ...children) => el('section', { class: 'part' }, el('h4', {}, name), ...children);

function paragraphs(text) {
  if (!text) return null;
  return el(
    'div',
    { class: 'about' },
    text.split(/\n\s*\n/).map((paragraph) =>
      el(
        'p',
        {},
        paragraph
          .split(/(`[^`]+`)/)
          .map((piece) => (/^`.+`$/.test(piece) ? el('code', {}, piece.slice(1, -1)) : piece)),
      ),
    ),
  );
}

/** Who may call, and whatever else the bank says of a call in its x-bank-… fields. */
function facts({ operation, spec }) {
  const fact = (name, value) => el('div', {}, el('dt', {}, name), el('dd', {}, value));
  const security = operation.security ?? spec.security;
  const rows = [];
  if (security) {
    const ways = security.map(
      (way) =>
        Object.entries(way)
          .map(([scheme, scopes]) => scheme + (scopes.length ? ` (${scopes.join(', ')})` : ''))
          .join(' and ') || 'none',
    );
    rows.push(fact('Credentials', security.length ? [...new Set(ways)].join(' or ') : 'none needed'));
  }
  for (const [key, value] of Object.entries(operation)) {
    if (!key.startsWith('x-bank-') || value === null || (Array.isArray(value) && !value.length)) continue;
    rows.push(fact(title(key.slice(7).replaceAll('-', ' ')), plain(value)));
  }
  return rows.length ? el('dl', { class: 'operation-facts' }, rows) : null;
}

function plain(value) {
  if (typeof value === 'boolean') return value ? 'yes' : 'no';
  if (Array.isArray(value)) return value.map(plain).join(', ');
  if (value && typeof value === 'object')
    return Object.entries(value)
      .map(([key, each]) => `${key.replaceAll('_', ' ')} ${plain(each)}`)
      .join(', ');
  return String(value);
}

function contents({ content = {}, description }, resolve) {
  return [
    description ? el('p', { class: 'muted' }, description) : null,
    ...Object.entries(content).map(([type, media]) =>
      el(
        'div',
        {},
        el('p', { class: 'small-print' }, type),
        media.schema ? el('ul', { class: 'properties' }, schemaView({ schema: media.schema, resolve })) : null,
      ),
    ),
  ].filter(Boolean);
}

function response(status, answer, resolve) {
  const inner = contents({ content: answer.content }, resolve);
  const head = [
    el('span', { class: 'status', dataset: { kind: String(status)[0] } }, status),
    el('span', {}, answer.description ?? ''),
  ];
  if (!inner.length) return el('p', { class: 'response' }, head);
  return el('details', { class: 'response', open: String(status)[0] === '2' }, el('summary', {}, head), inner);
}

start();
