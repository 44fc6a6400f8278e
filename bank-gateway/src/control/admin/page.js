// Shows what /readyz, /admin/upstreams, /admin/routes and /metrics say, every two seconds.

const text = (value) => document.createTextNode(String(value ?? ''));

function row(cells) {
  const line = document.createElement('tr');
  for (const [value, bad] of cells) {
    const cell = document.createElement('td');
    if (bad) cell.className = 'bad';
    cell.append(text(value));
    line.append(cell);
  }
  return line;
}

const json = async (path) => (await fetch(path)).json();

function counts(metrics) {
  const found = new Map();
  const pattern = /^bank_gateway_requests_total\{service="([^"]*)",operation="([^"]*)",status="(\dxx)"\} (\d+)/gm;
  for (const [, service, operation, status, count] of metrics.matchAll(pattern)) {
    found.set(`${service} ${operation} ${status}`, count);
  }
  return found;
}

// What `bank_stores::cache::CacheMetrics` tells: the metrics of each cache, by its name.
function caches(metrics) {
  const found = new Map();
  const pattern = /^bank_cache_(\w+)\{cache="([^"]*)"\} ([\d.]+)$/gm;
  for (const [, metric, cache, value] of metrics.matchAll(pattern)) {
    if (!found.has(cache)) found.set(cache, {});
    found.get(cache)[metric.replace(/_total$/, '')] = Number(value);
  }
  return found;
}

function cacheRow([name, of]) {
  const reads = of.hits + of.misses;
  const age = (seconds) => `${seconds.toFixed(1)} s`;
  return row([
    [name], [reads ? `${(100 * of.hits / reads).toFixed(1)} %` : ''], [reads], [of.shared_hits], [of.loads],
    [of.failures, of.failures > 0], [of.entries],
    [age(of.oldest_served_seconds), of.oldest_served_seconds > of.staleness_bound_seconds], [age(of.staleness_bound_seconds)],
  ]);
}

// The head is kept elsewhere, so that it shows later whether records were cut off.
function audit(metrics) {
  const head = metrics.match(/^bank_gateway_audit_head_info\{hash="([^"]*)"\} 1$/m);
  const lost = metrics.match(/^bank_gateway_audit_lost_total (\d+)$/m);
  return head && `Head ${head[1] || '(no record yet)'}; ${lost?.[1] ?? 0} records lost since the start`;
}

function who(access) {
  if (access.who === 'internal') return `services: ${access.callers.join(', ')}`;
  return [access.who, ...(access.scopes ?? []), ...(access.roles ?? [])].join(' ');
}

async function show() {
  const [ready, upstreams, routes, metrics] = await Promise.all([
    json('/readyz'), json('/admin/upstreams'), json('/admin/routes'), fetch('/metrics').then((answer) => answer.text()),
  ]);
  const reasons = Object.entries({ ...ready.degraded, ...ready.reasons }).map(([part, reason]) => `${part}: ${reason}`).join('; ');
  document.getElementById('state').textContent = [ready.status, reasons].filter(Boolean).join(' — ');
  const seen = counts(metrics);
  document.getElementById('audit').textContent = audit(metrics) ?? '';
  document.getElementById('audit-section').hidden = !audit(metrics);
  document.getElementById('upstreams').replaceChildren(
    ...Object.entries(upstreams.services).flatMap(([service, endpoints]) => endpoints.map((endpoint) => row([
      [service], [endpoint.address], [endpoint.state, endpoint.state !== 'closed'], [endpoint.in_flight],
      [Number.isFinite(endpoint.latency_us) ? `${(endpoint.latency_us / 1000).toFixed(1)} ms` : ''],
    ]))),
  );
  document.getElementById('routes').replaceChildren(...routes.items.map((route) => {
    const count = (status) => seen.get(`${route.service} ${route.operation} ${status}`) ?? 0;
    return row([
      [route.service], [route.operation], [who(route.access)], [route.idempotency], [route.limit_class],
      [count('2xx')], [count('4xx')], [count('5xx'), count('5xx') > 0],
    ]);
  }));
  const cacheRows = [...caches(metrics)].map(cacheRow);
  document.getElementById('caches').replaceChildren(...(cacheRows.length ? cacheRows : [row([['none']])]));
}

async function loop() {
  try {
    await show();
  } catch {
    document.getElementById('state').textContent = 'the gateway does not answer';
  }
  setTimeout(loop, 2000);
}

loop();
