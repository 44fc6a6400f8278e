// Renders /openapi.json (OpenAPI 3.1): the guide, the calls by tag, and the schemas.

import { wireCredential } from '/assets/docs-credential.js';
import { wireFilter } from '/assets/docs-filter.js';
import { inline, sections } from '/assets/docs-markdown.js';
import { badge, breakable, lazy, operationView } from '/assets/docs-operation.js';
import { byId, el } from '/assets/dom.js';
import { resolver, schemaView } from '/assets/schema.js';

const methods = ['get', 'post', 'put', 'patch', 'delete'];
/** How to open what a link of the page leads to, by its id. */
const openers = new Map();

async function start() {
  let spec;
  try {
    const response = await fetch('/openapi.json');
    if (!response.ok) throw new Error(`the answer was ${response.status}`);
    spec = await response.json();
  } catch (error) {
    byId('operations').replaceChildren(
      el(
        'div',
        { class: 'notice', role: 'alert' },
        el('p', {}, `/openapi.json cannot be loaded: ${error.message}.`),
        el('button', { class: 'button small', type: 'button', onclick: start }, 'Try again'),
      ),
    );
    return;
  }
  await render(spec);
  followHash();
}

/** Lets the browser draw and take input between two parts of the work. */
const pause = () => new Promise((resolve) => setTimeout(resolve));

function followHash() {
  const id = decodeURIComponent(location.hash.slice(1));
  if (openers.has(id)) openers.get(id)();
  else if (id) document.getElementById(id)?.scrollIntoView();
}

async function render(spec) {
  const resolve = resolver(spec);
  const { title, version, license } = spec.info;
  byId('docs-about').textContent = [title, `version ${version}`, license?.name].filter(Boolean).join(' · ');
  const guide = sections(spec.info.description ?? '');
  byId('guide').replaceChildren(...guide.map(guideView));
  const groups = grouped(spec, resolve);
  const operations = groups.flatMap((group) => group.operations);
  await pause();
  byId('toc').replaceChildren(
    tocGroup('Guide', 'toc-guide', guide.filter(({ id }) => id).map(guideItem)),
    ...groups.map(({ name, operations }) => tocGroup(capital(name), '', operations.map(tocItem))),
  );
  byId('operations').replaceChildren();
  for (const group of groups) {
    await pause();
    byId('operations').append(groupView(group));
  }
  for (const { id, open } of operations) openers.set(id, open);
  await pause();
  byId('schemas').replaceChildren(...schemasView(spec, resolve));
  wireFilter(operations);
  byId('operations').removeAttribute('aria-busy');
}

function guideView({ id, title, nodes }) {
  return el('section', { class: 'prose', id: id || null }, title ? el('h2', {}, title) : null, nodes);
}

/** The calls by their first tag, in the order of the tags. */
function grouped(spec, resolve) {
  const groups = new Map((spec.tags ?? []).map(({ name, description }) => [name, { name, description, operations: [] }]));
  for (const [path, rawItem] of Object.entries(spec.paths ?? {})) {
    const item = resolve(rawItem);
    for (const method of methods.filter((name) => item[name])) {
      const operation = item[method];
      const parameters = merge(item.parameters, operation.parameters, resolve);
      const tag = operation.tags?.[0] ?? 'other';
      if (!groups.has(tag)) groups.set(tag, { name: tag, operations: [] });
      const id = operation.operationId ?? `${method}${path}`.replace(/[^\w]+/g, '-');
      groups.get(tag).operations.push({ id, method, path, operation, parameters, resolve });
    }
  }
  return [...groups.values()].filter(({ operations }) => operations.length);
}

function merge(shared = [], own = [], resolve) {
  const all = new Map();
  for (const parameter of [...shared, ...own].map((each) => resolve(each)))
    all.set(`${parameter.in} ${parameter.name}`, parameter);
  return [...all.values()];
}

const capital = (name) => name.charAt(0).toUpperCase() + name.slice(1);

function groupView({ name, description, operations }) {
  return el(
    'section',
    { class: 'group', 'aria-labelledby': `group-${name}` },
    el('h2', { class: 'group-title', id: `group-${name}` }, capital(name)),
    description ? el('p', { class: 'muted' }, inline(description)) : null,
    operations.map(operationView),
  );
}

function schemasView(spec, resolve) {
  const views = Object.keys(spec.components?.schemas ?? {}).map((name) => {
    const id = `schema-${name}`;
    const details = el('details', { class: 'schema', id }, el('summary', { class: 'property-head' }, el('code', {}, name)));
    const fill = lazy(details, () =>
      el('ul', { class: 'properties' }, schemaView({ schema: { $ref: `#/components/schemas/${name}` }, resolve })),
    );
    openers.set(id, () => {
      fill();
      details.open = true;
      details.scrollIntoView();
    });
    return details;
  });
  return [el('h2', { class: 'group-title', id: 'schemas-title' }, 'Schemas'), el('div', { class: 'panel schemas' }, views)];
}

function tocGroup(title, kind, items) {
  return el('section', { class: `toc-group ${kind}` }, el('h2', {}, title), el('ul', {}, items));
}

function guideItem({ id, title }) {
  return el('li', {}, el('a', { href: `#${id}` }, title));
}

function tocItem({ id, method, path }) {
  return el(
    'li',
    { dataset: { for: id } },
    el('a', { href: `#${id}` }, badge(method), el('span', { class: 'path' }, breakable(path))),
  );
}

addEventListener('hashchange', followHash);
// A link to where one already is opens it again.
document.addEventListener('click', ({ target }) => {
  if (target.closest?.('a')?.getAttribute('href') === location.hash) followHash();
});
wireCredential();
start();
