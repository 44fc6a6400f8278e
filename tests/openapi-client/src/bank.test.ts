// Calls a running bank by the types of its own OpenAPI document. What the document does not say does not compile here.

import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { before, test } from "node:test";
import createClient from "openapi-fetch";
import type { components, paths } from "./bank.js";

type Account = components["schemas"]["Account"];
type NewTransfer = components["schemas"]["NewTransfer"];

function told(name: string): string {
  const value = process.env[name];
  assert.ok(value, `${name} must be set`);
  return value;
}

const anonymous = createClient<paths>({ baseUrl: told("BANK_URL") });
let alice: ReturnType<typeof createClient<paths>>;
let from: Account;
let payee: components["schemas"]["Payee"];

async function signIn(username: string, password: string) {
  const { data, error, response } = await anonymous.POST("/v1/sessions", { body: { username, password } });
  assert.ok(data, `${username} cannot sign in: ${error?.code}`);
  assert.equal(response.status, 201);
  return createClient<paths>({
    baseUrl: told("BANK_URL"),
    headers: { Authorization: `Bearer ${data.access_token}` },
  });
}

before(async () => {
  alice = await signIn("alice", told("ALICE_PASSWORD"));
  const accounts = await alice.GET("/v1/accounts", { params: { query: { limit: 10 } } });
  const funded = accounts.data?.items.find((account) => Number(account.available.amount) > 1);
  assert.ok(funded, "alice has an account with money on it");
  from = funded;
  const payees = await alice.GET("/v1/payees", { params: { query: { username: "bob" } } });
  const bob = payees.data?.items.find((each) => each.currency === from.currency);
  assert.ok(bob, "bob can be paid");
  payee = bob;
});

function transfer(amount: string): NewTransfer {
  return { from: from.id, to: payee.account, amount: { amount, currency: from.currency }, reference: "Client" };
}

function send(body: NewTransfer, key: string) {
  return alice.POST("/v1/transfers", { params: { header: { "Idempotency-Key": `"${key}"` } }, body });
}

test("a wrong password is refused with the code that the document names", async () => {
  const { error, response } = await anonymous.POST("/v1/sessions", {
    body: { username: "alice", password: "a wrong password" },
  });
  assert.equal(response.status, 401);
  assert.equal(error?.code, "invalid_credentials");
});

test("a transfer that is sent again with its key is made once", async () => {
  const body = transfer("1.00");
  const key = randomUUID();
  const first = await send(body, key);
  assert.equal(first.response.status, 201);
  assert.equal(first.data?.status, "completed");
  assert.equal(first.response.headers.get("Idempotency-Replayed"), null);
  assert.match(first.response.headers.get("RateLimit") ?? "", /r=\d+/);

  const again = await send(body, key);
  assert.deepEqual(again.data, first.data);
  assert.equal(again.response.headers.get("Idempotency-Replayed"), "true");

  const left = await alice.GET("/v1/accounts/{id}/balance", { params: { path: { id: from.id } } });
  assert.equal(Number(left.data?.balance.amount), Number(from.balance.amount) - 1);
});

test("a refusal says what to change", async () => {
  const { error, response } = await send(transfer("0.00"), randomUUID());
  assert.equal(response.status, 422);
  assert.equal(error?.code, "invalid_amount");
  assert.deepEqual(
    error?.errors?.map(({ field }) => field),
    ["amount"],
  );
});

test("a transfer of more than there is comes back as rejected", async () => {
  const { data, response } = await send(transfer("99999999.00"), randomUUID());
  assert.equal(response.status, 201);
  assert.equal(data?.status, "rejected");
  assert.equal(data?.code, "insufficient_funds");
});

test("the statement comes as JSON and as a table", async () => {
  const params = { path: { id: from.id } };
  const json = await alice.GET("/v1/accounts/{id}/statement", { params });
  assert.ok(typeof json.data === "object", "JSON is what a caller gets who asks for nothing");
  assert.equal(json.data.account, from.id);
  assert.ok(json.data.items.length > 0);

  const table = await alice.GET("/v1/accounts/{id}/statement", {
    params,
    headers: { Accept: "text/csv" },
    parseAs: "text",
  });
  assert.match(table.response.headers.get("Content-Type") ?? "", /^text\/csv/);
  assert.match(String(table.data), /^booked_at,/);
});
