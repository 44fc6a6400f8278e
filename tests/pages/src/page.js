// What a person does with a page.

export const PATIENCE = 30_000;

export async function see(page, selector) {
  return page.waitForSelector(selector, { visible: true, timeout: PATIENCE });
}

export async function gone(page, selector) {
  await page.waitForSelector(selector, { hidden: true, timeout: PATIENCE });
}

export async function click(page, selector) {
  const found = await see(page, selector);
  await found.click();
}

export async function fill(page, selector, text) {
  const found = await see(page, selector);
  await found.evaluate((input) => (input.value = ""));
  await found.type(text);
}

/** Waits until a script of the page says so. */
export async function until(page, script, ...values) {
  await page.waitForFunction(script, { timeout: PATIENCE, polling: 50 }, ...values);
}

/** Opens an address anew, also where only its hash differs from the page's. What this tab remembers, such as a draft, is gone. */
export async function open(page, address) {
  if (page.url().startsWith("http")) await page.evaluate(() => sessionStorage.clear());
  await page.goto("about:blank");
  await page.goto(address, { waitUntil: "domcontentloaded", timeout: PATIENCE });
}

/** Nothing is loading any more. */
export async function settle(page) {
  await until(page, () => {
    const busy = [...document.querySelectorAll('main [aria-busy="true"]')].some((each) => each.checkVisibility());
    return document.readyState === "complete" && !busy;
  });
}

/** Answers a call of the page from here, as long as the page stays. */
export async function answer(page, fits, reply) {
  await page.setRequestInterception(true);
  const listener = (request) => {
    if (!fits(request)) return request.continue();
    return reply === undefined ? undefined : request.respond(reply);
  };
  page.on("request", listener);
  return async () => {
    page.off("request", listener);
    await page.setRequestInterception(false);
  };
}
