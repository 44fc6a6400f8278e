// A customer with accounts and payments, and one who has none yet.

import { bankUrl } from "../bank.js";
import { answer, click, fill, gone, open, see, settle, until } from "../page.js";

const at = async (page, hash, sign) => {
  await open(page, `${bankUrl}/${hash}`);
  await see(page, sign);
  await settle(page);
};
const home = (page) => at(page, "", "#activity [data-activity]");
const account = (page, { everyday }) => at(page, `#account/${everyday}`, "#entries [data-activity]");

/** The form for a payment, with a payee chosen. */
const payment = async (page, amount) => {
  await home(page);
  await click(page, "#send-open");
  await fill(page, "#payee-query", "bob");
  await click(page, "#payee-find");
  await click(page, "#payee-results label");
  await fill(page, "#amount", amount);
};
const review = async (page, amount) => {
  await payment(page, amount);
  await click(page, "#send-continue");
  await see(page, "#send-confirm");
};
const isTransfer = (request) => request.method() === "POST" && request.url().endsWith("/v1/transfers");

/** A payment whose answer does not come, until the page goes. */
const unanswered = async (page) => {
  await review(page, "1.00");
  const undo = await answer(page, isTransfer);
  await click(page, "#send-confirm");
  await see(page, '#send-status[data-status="pending"]');
  return undo;
};

export const customer = [
  { name: "overview", go: home },
  {
    name: "search without a result",
    async go(page) {
      await home(page);
      await click(page, "#activity-search");
      await fill(page, "#activity-q", "nothing of the kind");
      await see(page, "#activity .empty");
    },
  },
  {
    name: "search with results",
    async go(page) {
      await home(page);
      await click(page, "#activity-search");
      await fill(page, "#activity-q", "Dinner");
      await gone(page, '#activity [data-kind="hold"]');
      await see(page, "#activity [data-activity]");
    },
  },
  { name: "account", go: account },
  { name: "account with a big balance", go: (page, { dollars }) => at(page, `#account/${dollars}`, "#entries [data-activity]") },
  { name: "account that is not there", go: (page) => at(page, "#account/acc_nothing", "#entries .empty") },
  { name: "statement", go: (page, { everyday }) => at(page, `#statement/${everyday}`, "#statement-rows td") },
  {
    name: "statement of an empty month",
    async go(page, { everyday }) {
      await at(page, `#statement/${everyday}`, "#statement-rows td");
      await click(page, "#statement-previous");
      await see(page, "#statement-empty");
    },
  },
  { name: "security", go: (page) => at(page, "#security", "#sessions [data-session]") },
  {
    name: "password with faults",
    async go(page) {
      await at(page, "#security", "#sessions [data-session]");
      await fill(page, "#password-current", "not it");
      await fill(page, "#password-new", "short");
      await click(page, "#password-change");
      await see(page, "#password-new-error");
    },
  },
  {
    name: "payment, empty, with recent payees",
    async go(page) {
      await home(page);
      await click(page, "#send-open");
      await see(page, "#payee-suggestions .pill");
    },
  },
  {
    name: "payment with faults",
    async go(page) {
      await payment(page, "1,234");
      await click(page, "#send-continue");
      await see(page, "#amount-error");
    },
  },
  {
    name: "payment to nobody",
    async go(page) {
      await home(page);
      await click(page, "#send-open");
      await fill(page, "#payee-query", "no.such.person.anywhere");
      await click(page, "#payee-find");
      await see(page, "#payee-query-error");
    },
  },
  { name: "payment to be checked", go: (page) => review(page, "1234.50") },
  { name: "payment under way", go: unanswered },
  {
    name: "signing out with a payment under way",
    async go(page) {
      const undo = await unanswered(page);
      await click(page, "#sign-out");
      await see(page, "#leave-dialog[open]");
      return undo;
    },
  },
  {
    name: "payment sent",
    async go(page) {
      await review(page, "1.00");
      await click(page, "#send-confirm");
      await see(page, '#send-status[data-status="completed"]');
    },
    stays: '#send-status[data-status="completed"]',
  },
  {
    name: "payment not sent",
    async go(page) {
      await review(page, "5000.00");
      await click(page, "#send-confirm");
      await see(page, '#send-status[data-status="rejected"]');
    },
    stays: '#send-status[data-status="rejected"]',
  },
  {
    name: "details of a payment",
    async go(page, furniture) {
      await account(page, furniture);
      await click(page, '#entries [data-direction="out"][data-kind="transfer"] button');
      await see(page, "#detail-dialog[open]");
    },
  },
  {
    name: "details of a refused payment",
    async go(page) {
      await home(page);
      await click(page, "#notifications-open");
      await click(page, '#notifications [data-tone="error"] button');
      await see(page, "#detail-dialog[open]");
      await until(page, () => !document.getElementById("detail").textContent.includes("…"));
    },
  },
  {
    name: "details of money on hold",
    async go(page) {
      await home(page);
      await click(page, '#activity [data-kind="hold"] button');
      await see(page, "#detail-dialog[open]");
    },
  },
  {
    name: "notifications",
    async go(page) {
      await home(page);
      await click(page, "#notifications-open");
      await see(page, "#notifications [data-notification]");
    },
  },
  {
    name: "a new account",
    async go(page) {
      await home(page);
      await click(page, "#account-open");
      await see(page, "#account-dialog[open]");
    },
  },
  {
    name: "a message",
    async go(page, furniture) {
      await account(page, furniture);
      await click(page, "#account-id button");
      await see(page, ".toast");
    },
    stays: ".toast",
  },
  {
    name: "overview while a part is away",
    async go(page) {
      const away = { status: 503, contentType: "application/problem+json", body: '{"status":503,"code":"unavailable"}' };
      const undo = await answer(page, (request) => /\/v1\/(accounts|activity|notifications)/.test(request.url()), away);
      await open(page, `${bankUrl}/`);
      await see(page, "#accounts .empty");
      return undo;
    },
  },
];

export const newCustomer = [
  { name: "overview without an account", go: (page) => at(page, "", "#hero-open") },
  {
    name: "notifications, none",
    async go(page) {
      await at(page, "", "#hero-open");
      await click(page, "#notifications-open");
      await see(page, "#notifications .empty");
    },
  },
];
