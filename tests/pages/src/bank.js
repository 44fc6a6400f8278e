// The running bank, and the people and payments that its pages are looked at with.

import { randomUUID } from "node:crypto";

const told = (name) => {
  const value = process.env[name];
  if (!value) throw new Error(`${name} must be set; .ci/pages does`);
  return value;
};

export const bankUrl = told("BANK_URL");
export const adminUrl = told("ADMIN_URL");

/** The password of each demo user. */
const demo = new Map(
  told("DEMO_USERS")
    .trim()
    .split("\n")
    .map((line) => line.trim().split(" ")),
);

// A name of its own for each run, so that a bank can be looked at twice.
export const nora = { username: `nora${process.pid}`, password: "four unusual words here", name: "Nora New" };
const passwords = new Map([...demo, [nora.username, nora.password]]);
export const passwordOf = (username) => {
  const password = passwords.get(username);
  if (!password) throw new Error(`the bank's demo has no user called ${username}`);
  return password;
};

class Caller {
  #token;

  static async signIn(username) {
    const caller = new Caller();
    const { access_token: token } = await caller.post("/v1/sessions", { username, password: passwordOf(username) });
    caller.#token = token;
    return caller;
  }

  async #ask(method, path, body) {
    const headers = { accept: "application/json" };
    if (this.#token) headers.authorization = `Bearer ${this.#token}`;
    if (body) Object.assign(headers, { "content-type": "application/json", "idempotency-key": `"${randomUUID()}"` });
    const answer = await fetch(bankUrl + path, { method, headers, body: body && JSON.stringify(body) });
    const text = await answer.text();
    if (!answer.ok) throw new Error(`${method} ${path}: ${answer.status} ${text}`);
    return text ? JSON.parse(text) : null;
  }

  get(path) {
    return this.#ask("GET", path);
  }

  post(path, body) {
    return this.#ask("POST", path, body);
  }
}

const euros = (amount) => ({ amount, currency: "EUR" });
const LONG_NAME = "Savings for a house at the lake, one of these days";

/**
 * Makes what the pages are to show: accounts with long names and big sums, payments both ways, one that was refused, money on
 * hold, a customer without an account, and a proposal that waits for approval. It returns the ids that the states go to.
 */
export async function furnish() {
  const [alice, bob, teller] = await Promise.all(["alice", "bob", "teller"].map(Caller.signIn));
  await new Caller().post("/v1/customers", { ...nora, email: "nora@bank.example" });
  const [everyday] = (await alice.get("/v1/accounts")).items;
  const [bobs] = (await bob.get("/v1/accounts")).items;
  const dollars = await alice.post("/v1/accounts", { currency: "USD", name: LONG_NAME });
  await alice.post("/v1/accounts", { currency: "EUR", name: "חשבון יומיומי" });
  await bob.post("/v1/accounts", { currency: "USD", name: "Dollars" });
  const deposit = { account: dollars.id, amount: { amount: "98765432109.99", currency: "USD" } };
  await teller.post("/v1/deposits", deposit);
  await alice.post("/v1/transfers", { from: everyday.id, to: bobs.id, amount: euros("12.50"), reference: "Dinner" });
  await bob.post("/v1/transfers", { from: bobs.id, to: everyday.id, amount: euros("3.00") });
  const refused = { from: everyday.id, to: bobs.id, amount: euros("5000.00"), reference: "Too much" };
  await alice.post("/v1/transfers", refused);
  await alice.post("/v1/holds", { account: everyday.id, amount: euros("70.00"), expires_in: 86_400 });
  await teller.post(`/v1/accounts/${bobs.id}/freeze`, { reason: "The card was stolen" });
  return { everyday: everyday.id, dollars: dollars.id };
}
