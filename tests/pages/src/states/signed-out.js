// Nobody is signed in.

import { bankUrl } from "../bank.js";
import { click, fill, open, see, until } from "../page.js";

const start = async (page) => {
  await open(page, `${bankUrl}/`);
  await see(page, "#sign-in");
};

const register = async (page) => {
  await start(page);
  await click(page, "#show-register");
  await see(page, "#register");
};

export const signedOut = [
  { name: "signed out", go: start },
  {
    name: "signed out, nothing filled in",
    async go(page) {
      await start(page);
      await click(page, "#sign-in");
      await see(page, "#password-error");
    },
  },
  {
    name: "wrong password",
    async go(page) {
      await start(page);
      await fill(page, "#username", "nobody");
      await fill(page, "#password", "a wrong password");
      await click(page, ".reveal");
      await click(page, "#sign-in");
      await until(page, () => document.querySelector("#sign-in-form .form-error").textContent.trim() !== "");
    },
  },
  { name: "registration", go: register },
  {
    name: "registration with faults",
    async go(page) {
      await register(page);
      await fill(page, "#register-email", "no address");
      await fill(page, "#register-password", "short");
      await click(page, "#register");
      await see(page, "#register-password-error");
    },
  },
];
