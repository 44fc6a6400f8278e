// Starts the Chromium that is installed.

import { existsSync } from "node:fs";
import puppeteer from "puppeteer-core";

const places = ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"];

export async function launch(language) {
  const executablePath = process.env.CHROMIUM ?? places.find(existsSync);
  if (!executablePath) throw new Error(`no Chromium in ${places.join(", ")}; say where it is in CHROMIUM`);
  return puppeteer.launch({
    executablePath,
    args: ["--no-sandbox", "--disable-dev-shm-usage", `--lang=${language}`, `--accept-lang=${language}`],
    env: { ...process.env, LANGUAGE: language },
    // A machine that is busy with other things is slow, and not broken.
    protocolTimeout: 120_000,
  });
}
