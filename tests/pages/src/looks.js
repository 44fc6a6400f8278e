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

const thorough = { en: ["1280 light", "320 dark"], de: ["390 light", "200% dark"] };

/**
 * The looks in which axe tries all its rules, which takes most of the time: two in each language, all widths in both together. In
 * the others it tries those that the width decides. EVERY_LOOK=1 tries all rules in all looks.
 */
export const isThorough = ({ name }, language, isOnly) =>
  Boolean(process.env.EVERY_LOOK) || thorough[language].includes(name) || (isOnly && thorough.de.includes(name));

export async function wear(page, { theme, viewport }) {
  await page.setViewport(viewport);
  await page.emulateMediaFeatures([
    { name: "prefers-color-scheme", value: theme },
    { name: "prefers-reduced-motion", value: "reduce" },
  ]);
}
