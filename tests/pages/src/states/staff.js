// Those who work at the bank.

import { bankUrl } from "../bank.js";
import { answer, click, fill, open, see, settle } from "../page.js";

const at = async (page, hash, sign) => {
  await open(page, `${bankUrl}/${hash}`);
  await see(page, sign);
  await settle(page);
};

const found = async (page, username) => {
  await at(page, "#counter", "#customer-query");
  await fill(page, "#customer-query", username);
  await click(page, "#customer-find");
  await see(page, "#customers li");
};
/** The sheet behind one of the buttons of alice's first account: to pay in, to pay out, to freeze. */
const sheet = async (page, place) => {
  await found(page, "alice");
  await click(page, `#customers [data-account] .actions button:nth-child(${place})`);
  await see(page, "#counter-dialog[open]");
};

export const teller = [
  { name: "counter", go: (page) => at(page, "#counter", "#customer-query") },
  { name: "counter, a customer", go: (page) => found(page, "alice") },
  { name: "counter, nobody", go: (page) => found(page, "nobody.of.this.name") },
  { name: "counter, cash", go: (page) => sheet(page, 1) },
  {
    name: "counter, cash with faults",
    async go(page) {
      await sheet(page, 2);
      await click(page, "#counter-submit");
      await see(page, "#counter-amount-error");
    },
  },
  { name: "counter, freeze", go: (page) => sheet(page, 3) },
  { name: "approvals, one's own", go: (page) => at(page, "#approvals", "#approvals [data-approval]") },
  {
    name: "approvals, to be decided",
    async go(page) {
      const approval = {
        id: "apr_1",
        kind: "freeze",
        account: "acc_j4zn3zdzrfpvc6kdxgnqgq7ankgwj148",
        reason: "The customer’s telephone was stolen, and the thief has called us twice",
        status: "open",
        proposed_by: { id: "cus_8k1m4n7p0q3r6s9t2v5w8x1y4z7a0b3c", name: "Theodora Teller" },
        proposed_at: "2026-01-02T03:04:05Z",
      };
      const body = JSON.stringify({ items: [approval, { ...approval, id: "apr_2", kind: "unfreeze", status: "failed" }] });
      const reply = { status: 200, contentType: "application/json", body };
      // The demo has one teller, who cannot decide what is their own.
      const undo = await answer(page, (request) => new URL(request.url()).pathname === "/v1/approvals", reply);
      await at(page, "#approvals", "#approvals .actions button");
      return undo;
    },
  },
];

export const auditor = [{ name: "books", go: (page) => at(page, "#books", "#books [data-currency]") }];

export const operator = [{ name: "operator", go: (page) => at(page, "#home", "#operator-note") }];
