// How a page may look: wide and narrow, light and dark.

const widths = {
  1280: { width: 1280, height: 900, deviceScaleFactor: 1 },
  390: { width: 390, height: 844, deviceScaleFactor: 1 },
  320: { width: 320, height: 640, deviceScaleFactor: 1 },
  // A window of 1280 by 1024 at a zoom of 200 %.
  "200%": { width: 640, height: 512, deviceScaleFactor: 2 },
};

export const looks = ["light", "dark"].flatMap((theme) =>
  Object.entries(widths).map(([name, viewport]) => ({ name: `${name} ${theme}`, theme, viewport })),
);

export async function wear(page, { theme, viewport }) {
  await page.setViewport(viewport);
  await page.emulateMediaFeatures([
    { name: "prefers-color-scheme", value: theme },
    { name: "prefers-reduced-motion", value: "reduce" },
  ]);
}
