// One request as code in four languages. Nothing here touches the page, so that a test can run what it writes.

export const languages = new Map([
  ['curl', 'curl'],
  ['javascript', 'JavaScript'],
  ['python', 'Python'],
  ['rust', 'Rust'],
]);

/**
 * The request of an operation's examples: { method, url, headers, body, bearer, stream }. `bearer` says whether it needs an
 * access token, which every sample takes from the environment.
 */
export function exampleRequest({ method, path, operation, parameters, resolve }, origin, example) {
  let url = path;
  const query = new URLSearchParams();
  const headers = [];
  for (const parameter of parameters) {
    const value = parameter.example ?? (parameter.required ? (resolve(parameter.schema)?.examples?.[0] ?? '') : undefined);
    if (value === undefined) continue;
    if (parameter.in === 'path') url = url.replace(`{${parameter.name}}`, encodeURIComponent(value));
    else if (parameter.in === 'query') query.append(parameter.name, value);
    else if (isKey(parameter)) headers.push([parameter.name, `"${crypto.randomUUID()}"`]);
    else headers.push([parameter.name, String(value)]);
  }
  if (query.size) url += `?${query}`;
  const media = resolve(operation.requestBody)?.content?.['application/json'];
  const body = media && (Object.values(media.examples ?? {})[0]?.value ?? example(media.schema ?? {}, resolve));
  const stream = Boolean(operation['x-bank-stream']);
  if (stream) headers.push(['Accept', 'text/event-stream']);
  return { method, url: origin + url, headers, body, bearer: needsToken(operation), stream };
}

export const isKey = (parameter) => parameter.in === 'header' && parameter.name.toLowerCase() === 'idempotency-key';

/** Whether a call is made with an access token: not where nobody asks who calls, or where a password does. */
export function needsToken(operation) {
  return (operation.security ?? []).some((way) => 'bearer' in way);
}

export function sample(language, request) {
  return { curl, javascript, python, rust }[language](request);
}

function curl({ method, url, headers, body, bearer, stream }) {
  const quoted = (text) => `'${text.replaceAll("'", `'\\''`)}'`;
  const words = [stream ? 'curl -N' : 'curl'];
  if (method !== (body === undefined ? 'get' : 'post')) words[0] += ` -X ${method.toUpperCase()}`;
  words[0] += ` ${quoted(url)}`;
  if (bearer) words.push('-H "Authorization: Bearer $ACCESS_TOKEN"');
  for (const [name, value] of headers) words.push(`-H ${quoted(`${name}: ${value}`)}`);
  if (body !== undefined) words.push(`-H 'Content-Type: application/json'`, `-d ${quoted(json(body))}`);
  return words.join(' \\\n  ');
}

function javascript({ method, url, headers, body, bearer, stream }) {
  const text = (value) => JSON.stringify(value);
  const fields = headers.map(([name, value]) => `    ${text(name)}: ${text(value)},`);
  if (bearer) fields.unshift('    Authorization: `Bearer ${process.env.ACCESS_TOKEN}`,');
  if (body !== undefined) fields.push('    "Content-Type": "application/json",');
  const options = [];
  if (method !== 'get') options.push(`  method: ${text(method.toUpperCase())},`);
  if (fields.length) options.push('  headers: {', ...fields, '  },');
  if (body !== undefined) options.push(`  body: JSON.stringify(${indented(json(body), 2)}),`);
  const end = stream
    ? [
        'for await (const text of response.body.pipeThrough(new TextDecoderStream())) {',
        '  console.log(text);',
        '}',
      ]
    : ['console.log(response.status, await response.text());'];
  const call = options.length ? [`const response = await fetch(${text(url)}, {`, ...options, '});'] : [`const response = await fetch(${text(url)});`];
  return [...call, ...end].join('\n');
}

function python({ method, url, headers, body, bearer, stream }) {
  const text = (value) => JSON.stringify(value);
  const fields = headers.map(([name, value]) => `        ${text(name)}: ${text(value)},`);
  if (bearer) fields.unshift(`        "Authorization": f"Bearer {os.environ['ACCESS_TOKEN']}",`);
  const options = [];
  if (fields.length) options.push('    headers={', ...fields, '    },');
  if (body !== undefined) options.push(`    json=${indented(pythonValue(body), 4)},`);
  options.push(`    timeout=${stream ? '(10, 60)' : '30'},`);
  if (stream) options.push('    stream=True,');
  return [
    ...(bearer ? ['import os', ''] : []),
    'import requests',
    '',
    `response = requests.${method}(`,
    `    ${text(url)},`,
    ...options,
    ')',
    ...(stream
      ? ['for line in response.iter_lines(decode_unicode=True):', '    print(line)']
      : ['print(response.status_code, response.text)']),
  ].join('\n');
}

function rust({ method, url, headers, body, bearer, stream }) {
  const chain = [`.${method}(${rustText(url)})`];
  if (bearer) chain.push('.bearer_auth(std::env::var("ACCESS_TOKEN")?)');
  for (const [name, value] of headers) chain.push(`.header(${rustText(name)}, ${rustText(value)})`);
  if (body !== undefined) chain.push(`.json(&serde_json::json!(${indented(rustValue(body), 8)}))`);
  chain.push('.send()?;');
  const end = stream
    ? [
        '    for line in std::io::BufRead::lines(std::io::BufReader::new(answer)) {',
        '        println!("{}", line?);',
        '    }',
      ]
    : ['    println!("{} {}", answer.status(), answer.text()?);'];
  return [
    'fn main() -> Result<(), Box<dyn std::error::Error>> {',
    '    let answer = reqwest::blocking::Client::new()',
    ...chain.map((link) => `        ${link}`),
    ...end,
    '    Ok(())',
    '}',
  ].join('\n');
}

const json = (value) => JSON.stringify(value, null, 2);

/** All lines but the first, further to the right. */
const indented = (text, by) => text.replaceAll('\n', `\n${' '.repeat(by)}`);

/** A JSON value in another language: its words for nothing, true and false, and its way to write a text. */
function literal(value, words, text, depth = 0) {
  const inside = '  '.repeat(depth + 1);
  const close = `\n${'  '.repeat(depth)}`;
  if (value === null) return words.null;
  if (typeof value === 'boolean') return words[value];
  if (typeof value === 'string') return text(value);
  if (typeof value !== 'object') return JSON.stringify(value);
  const parts = Array.isArray(value)
    ? value.map((each) => literal(each, words, text, depth + 1))
    : Object.entries(value).map(([name, each]) => `${text(name)}: ${literal(each, words, text, depth + 1)}`);
  const [left, right] = Array.isArray(value) ? '[]' : '{}';
  return parts.length ? `${left}\n${parts.map((part) => inside + part).join(',\n')}${close}${right}` : left + right;
}

// Python reads the escapes of a JSON text as they are.
const pythonValue = (value) => literal(value, { null: 'None', true: 'True', false: 'False' }, (text) => JSON.stringify(text));
const rustValue = (value) => literal(value, { null: 'null', true: 'true', false: 'false' }, rustText);

function rustText(text) {
  const escaped = text.replace(/["\\\u0000-\u001f\u007f]/g, (character) => {
    const named = { '"': '\\"', '\\': '\\\\', '\n': '\\n', '\r': '\\r', '\t': '\\t' }[character];
    return named ?? `\\u{${character.codePointAt(0).toString(16)}}`;
  });
  return `"${escaped}"`;
}

/** A value that fits a schema: its own example where it gives one, else the plainest thing of its type. */
export function example(schema, resolve, name = '', depth = 0) {
  const full = resolve(schema) ?? {};
  if (full.examples?.length) return full.examples[0];
  for (const key of ['example', 'const', 'default']) if (full[key] !== undefined) return full[key];
  if (full.enum) return full.enum[0];
  const variants = full.oneOf ?? full.anyOf ?? (full.allOf?.length === 1 ? full.allOf : null);
  if (variants)
    return example(variants.find((variant) => resolve(variant).type !== 'null') ?? {}, resolve, name, depth);
  const type = [full.type ?? (full.properties ? 'object' : 'string')].flat().find((each) => each !== 'null');
  if (type === 'object') {
    if (depth > 5) return {};
    const required = new Set(full.required ?? []);
    // An optional field is left out unless the schema says what would go there.
    const kept = Object.entries(full.properties ?? {}).filter(
      ([key, property]) => required.has(key) || resolve(property).examples,
    );
    return Object.fromEntries(kept.map(([key, property]) => [key, example(property, resolve, key, depth + 1)]));
  }
  if (type === 'array') return full.items && depth < 5 ? [example(full.items, resolve, name, depth + 1)] : [];
  if (type === 'integer' || type === 'number') return full.minimum ?? 1;
  if (type === 'boolean') return false;
  return (
    { 'date-time': new Date().toISOString(), email: 'someone@example.com', uri: 'https://example.com/' }[full.format] ??
    { amount: '10.00', currency: 'EUR' }[name] ??
    ''
  );
}
