// How a page may look: wide and narrow, light and dark.

const widths = [
  { name: "1280", width: 1280, height: 900, deviceScaleFactor: 1 },
  { name: "390", width: 390, height: 844, deviceScaleFactor: 1 },
  { name: "320", width: 320, height: 640, deviceScaleFactor: 1 },
  // A window of 1280 by 1024 at a zoom of 200 %.
  { name: "200%", width: 640, height: 512, deviceScaleFactor: 2 },
];

export const looks = ["light", "dark"].flatMap((theme) =>
  widths.map(({ name, ...viewport }) => ({ name: `${name} ${theme}`, theme, viewport })),
);

/**
 * The looks that axe is run in: every width and both themes in each language, and between them every look of all. What speaks
 * one language only is read in every look.
 */
export const read = (language, isOnly) =>
  new Set(looks.filter((_, at) => isOnly || (at + (at >= 4) + (language === "de")) % 2 === 0));

export async function wear(page, { theme, viewport }) {
  await page.setViewport(viewport);
  await page.emulateMediaFeatures([
    { name: "prefers-color-scheme", value: theme },
    { name: "prefers-reduced-motion", value: "reduce" },
  ]);
}
