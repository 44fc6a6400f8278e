// JSON Schema 2020-12, as a reader wants to see it: name, type, what it means, and what is inside.

import { inline } from '/assets/docs-markdown.js';
import { el } from '/assets/dom.js';

/** Follows $ref within one document. Siblings of a $ref count too, as 2020-12 has it. */
export function resolver(spec) {
  return function resolve(node, hops = 0) {
    if (!node?.$ref || hops > 10) return node;
    const target = node.$ref
      .replace(/^#\//, '')
      .split('/')
      .reduce((at, key) => at?.[decodeURIComponent(key).replaceAll('~1', '/').replaceAll('~0', '~')], spec);
    const { $ref, ...siblings } = node;
    return { ...resolve(target ?? {}, hops + 1), ...siblings };
  };
}

const refName = (schema) => schema?.$ref?.split('/').pop();

export function schemaView({ name, schema, required, note, about, resolve, seen = [] }) {
  const full = resolve(schema) ?? {};
  const inner = seen.includes(refName(schema))
    ? []
    : children(full, resolve, refName(schema) ? [...seen, refName(schema)] : seen);
  const text = about ?? full.description;
  const head = [
    name ? el('code', { class: 'property-name' }, name) : null,
    el('span', { class: 'property-type' }, typeName(schema, resolve)),
    note ? el('span', { class: 'tag' }, note) : null,
    required ? el('span', { class: 'required' }, 'required') : null,
  ];
  const limits = constraints(full);
  const description = [
    text ? el('p', { class: 'property-about' }, inline(text)) : null,
    limits ? el('p', { class: 'property-about mono' }, limits) : null,
  ];
  if (!inner.length) return el('li', { class: 'property' }, el('p', { class: 'property-head' }, head), description);
  return el(
    'li',
    { class: 'property' },
    el(
      'details',
      { open: seen.length === 0 && !name },
      el('summary', { class: 'property-head' }, head),
      description,
      el('ul', { class: 'properties' }, inner),
    ),
  );
}

function children(schema, resolve, seen) {
  if (seen.length > 6) return [];
  const rows = [];
  const required = new Set(schema.required ?? []);
  for (const [name, property] of Object.entries(schema.properties ?? {}))
    rows.push(schemaView({ name, schema: property, required: required.has(name), resolve, seen }));
  if (schema.items && interesting(resolve(schema.items)))
    rows.push(schemaView({ name: 'each', schema: schema.items, resolve, seen }));
  // A text that has a form of its own, such as JSON or a stream of events.
  if (schema.contentSchema)
    rows.push(schemaView({ name: 'content', schema: schema.contentSchema, note: schema.contentMediaType, resolve, seen }));
  for (const [word, variants] of [
    ['one of', schema.oneOf],
    ['any of', schema.anyOf],
    ['all of', schema.allOf],
  ]) {
    const real = (variants ?? []).filter((variant) => resolve(variant).type !== 'null');
    // Nullable is a type and null: shown by the type's name, so only its inside is worth a line.
    if (real.length === 1)
      rows.push(...children(resolve(real[0]), resolve, refName(real[0]) ? [...seen, refName(real[0])] : seen));
    else
      for (const variant of real)
        rows.push(schemaView({ name: variant.title ?? (variant.const === undefined ? word : String(variant.const)), schema: variant, resolve, seen }));
  }
  if (schema.additionalProperties?.type || schema.additionalProperties?.$ref)
    rows.push(schemaView({ name: '(any name)', schema: schema.additionalProperties, resolve, seen }));
  return rows;
}

const interesting = (schema) =>
  Boolean(schema?.properties || schema?.oneOf || schema?.anyOf || schema?.allOf || schema?.description);

function typeName(schema, resolve) {
  const full = resolve(schema) ?? {};
  const variants = full.oneOf ?? full.anyOf;
  let text;
  if (full.const !== undefined) text = JSON.stringify(full.const);
  else if (full.enum) text = full.enum.map((value) => JSON.stringify(value)).join(' | ');
  else if (variants?.every((variant) => variant.title && !variant.$ref)) text = variants.map(({ title }) => title).join(' | ');
  else if (variants) text = variants.map((variant) => typeName(variant, resolve)).join(' | ');
  else if (full.type === 'array') text = `array of ${typeName(full.items ?? {}, resolve)}`;
  else text = [full.type ?? (full.properties ? 'object' : 'any')].flat().join(' | ');
  if (full.format) text += ` · ${full.format}`;
  const name = refName(schema);
  return name && !full.enum && !variants ? `${name} (${text})` : text;
}

function constraints(schema) {
  const shown = [
    ['pattern', 'pattern'],
    ['minLength', 'min length'],
    ['maxLength', 'max length'],
    ['minimum', 'min'],
    ['maximum', 'max'],
    ['minItems', 'min items'],
    ['maxItems', 'max items'],
    ['default', 'default'],
  ];
  return shown
    .filter(([key]) => schema[key] !== undefined && schema[key] !== null)
    .map(([key, label]) => `${label} ${JSON.stringify(schema[key])}`)
    .join(' · ');
}
