// The API reference, the operators' page, and the page of an address that is not there. They speak English only.

import { adminUrl, bankUrl, passwordOf } from "../bank.js";
import { click, fill, open, see, settle } from "../page.js";

const docs = async (page, hash = "") => {
  await open(page, `${bankUrl}/docs${hash}`);
  await see(page, "#operations article");
  await settle(page);
};

export const documents = [
  { name: "/docs", go: (page) => docs(page) },
  {
    name: "/docs, a call",
    async go(page) {
      await docs(page);
      await fill(page, "#filter", "post /v1/transfers");
      await click(page, "#operations article:not([hidden]) summary.operation-head");
      await click(page, "#operations article:not([hidden]) .try > summary");
      await see(page, ".try-form");
    },
  },
  {
    name: "/docs, an answer",
    async go(page) {
      await docs(page);
      await fill(page, "#filter", "/.well-known/jwks.json");
      await click(page, "#operations article:not([hidden]) summary.operation-head");
      await click(page, "#operations article:not([hidden]) .try > summary");
      await click(page, '.try-form [type="submit"]');
      await see(page, ".result .status");
    },
  },
  {
    name: "/docs, a schema",
    async go(page) {
      await docs(page, "#schema-Problem");
      await see(page, "#schema-Problem[open]");
    },
  },
  {
    name: "/docs, signed in",
    async go(page) {
      await docs(page);
      await fill(page, "#credential-username", "alice");
      await fill(page, "#credential-password", passwordOf("alice"));
      await click(page, "#credential-sign-in");
      await see(page, "#credential-sign-out");
    },
  },
  {
    name: "/admin/",
    async go(page) {
      await open(page, `${adminUrl}/admin/`);
      await see(page, "#routes tr");
    },
  },
  {
    name: "an address that is not there",
    async go(page) {
      await open(page, `${bankUrl}/nonexistent`);
      await see(page, "h1");
    },
  },
];
