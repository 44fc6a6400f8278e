// The code samples of the page at /docs: each is read by its language, and those that can be run here do what they say.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { randomUUID } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";

type Json = null | boolean | number | string | Json[] | { [name: string]: Json };
type Request = {
  method: string;
  url: string;
  headers: [string, string][];
  body?: Json;
  bearer: boolean;
  stream: boolean;
};
type Samples = {
  languages: Map<string, string>;
  sample(language: string, request: Request): string;
  exampleRequest(entry: object, origin: string, example: unknown): Request;
  example: unknown;
};

const bank = process.env.BANK_URL ?? "";
const work = mkdtempSync(join(tmpdir(), "samples-"));
after(() => rmSync(work, { recursive: true }));

const file = new URL("../../../examples/web/assets/docs-samples.js", import.meta.url);
const samples: Samples = await import(`data:text/javascript,${encodeURIComponent(readFileSync(file, "utf8"))}`);
const spec = JSON.parse(readFileSync(new URL("../openapi.json", import.meta.url), "utf8"));

function resolve(node: any): any {
  if (!node?.$ref) return node;
  return node.$ref
    .slice(2)
    .split("/")
    .reduce((at: any, key: string) => at[key], spec);
}

const requests: Request[] = Object.entries<any>(spec.paths).flatMap(([path, item]) =>
  Object.entries<any>(item).map(([method, operation]) => {
    const parameters = (operation.parameters ?? []).map(resolve);
    return samples.exampleRequest({ method, path, operation, parameters, resolve }, bank, samples.example);
  }),
);

/** Text that every language has to quote. */
const hard = `It's "hard": $HOME \\ \`id\` {} ✓`;
let token = "";
let transfer: Request;

before(async () => {
  const call = async (path: string, init: RequestInit) => (await fetch(bank + path, init)).json();
  const signedIn: any = await call("/v1/sessions", {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ username: "alice", password: process.env.ALICE_PASSWORD }),
  });
  token = signedIn.access_token;
  const headers = { Authorization: `Bearer ${token}` };
  const accounts: any = await call("/v1/accounts", { headers });
  const payees: any = await call("/v1/payees?username=bob", { headers });
  transfer = {
    method: "post",
    url: `${bank}/v1/transfers`,
    headers: [["Idempotency-Key", `"${randomUUID()}"`]],
    body: {
      from: accounts.items[0].id,
      to: payees.items[0].account,
      amount: { amount: "0.01", currency: accounts.items[0].currency },
      reference: hard,
    },
    bearer: true,
    stream: false,
  };
});

function run(program: string, args: string[], input?: string): string {
  return execFileSync(program, args, { input, encoding: "utf8", env: { ...process.env, ACCESS_TOKEN: token } });
}

test("each sample of each call is read by its language", () => {
  assert.ok(requests.length > 20);
  const all = (language: string) => requests.map((request) => samples.sample(language, request));
  for (const text of all("curl")) run("bash", ["-n"], text);
  all("javascript").forEach((text, number) => {
    const module = join(work, `${number}.mjs`);
    writeFileSync(module, text);
    run(process.execPath, ["--check", module]);
  });
  run("python3", ["-c", "import ast, json, sys\nfor text in json.load(sys.stdin): ast.parse(text)"], JSON.stringify(all("python")));
  const rust = join(work, "samples.rs");
  writeFileSync(rust, all("rust").map((text, number) => `mod call_${number} {\n${text}\n}\n`).join(""));
  run("rustfmt", ["--edition", "2024", rust]);
});

test("the curl sample sends every character as it is", () => {
  const answer = JSON.parse(run("bash", ["-c", `${samples.sample("curl", transfer)} -sS`]));
  assert.equal(answer.status, "completed");
  assert.equal(answer.reference, hard);
});

test("the JavaScript sample sends the same request again, and it is made once", () => {
  const module = join(work, "transfer.mjs");
  writeFileSync(module, samples.sample("javascript", transfer));
  const [status, ...answer] = run(process.execPath, [module]).split(" ");
  assert.equal(status, "201");
  assert.equal(JSON.parse(answer.join(" ")).reference, hard);
});

test("the Python sample has the same body", () => {
  const program = `
import ast, json, sys
call = next(node for node in ast.walk(ast.parse(sys.stdin.read())) if isinstance(node, ast.keyword) and node.arg == "json")
print(json.dumps(ast.literal_eval(call.value)))`;
  const body = { ...(transfer.body as object), nothing: null, yes: true, no: false, list: [1, []], none: {} };
  const text = samples.sample("python", { ...transfer, body });
  assert.deepEqual(JSON.parse(run("python3", ["-c", program], text)), body);
});

test("the Rust sample keeps what Rust would read as an escape", () => {
  const text = samples.sample("rust", { ...transfer, body: { text: '\\ " \n \u0001 ✓' } });
  assert.ok(text.includes(String.raw`"text": "\\ \" \n \u{1} ✓"`), text);
});
