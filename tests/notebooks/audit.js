// What of a page some people could not use: kinds of trouble, each with its places. plotly's own controls are left out.
() => {
  const told = element => `${element.tagName} ${element.className} ${element.textContent}`.slice(0, 120);
  const words = element => element?.textContent.trim() ?? "";

  // The name by which a screen reader calls an element.
  const labels = element => [...(element.labels ?? [])].map(label => words(label).replace(words(element), "").trim());
  const name = element => element.ariaLabel?.trim() || words(document.getElementById(element.getAttribute("aria-labelledby"))) ||
    labels(element).join("") || (element.matches("select, input") ? "" : words(element)) || element.title;

  const ours = [...document.body.querySelectorAll("*")].filter(element => !element.closest(".js-plotly-plot"));
  const control = "button, select, input, textarea, summary, a[href], [tabindex]";
  const controls = ours.filter(element => element.matches(control));
  const pointed = element => getComputedStyle(element).cursor === "pointer";
  const reached = element => element.closest(control) || element.closest("label")?.control;

  // Contrast of words with what is behind them, as WCAG 2 measures it: 4.5 to 1, or 3 to 1 where they are large. Words in
  // an SVG stand on the page. Disabled controls, and what is not laid out, need none.
  const channels = color => {
    const parts = (color.match(/[\d.]+/g) ?? [0, 0, 0, 0]).map(Number);
    return color.startsWith("color(srgb") ? parts.map((part, i) => (i < 3 ? 255 * part : part)) : parts;
  };
  const over = ([r, g, b, alpha = 1], under) => [r, g, b].map((value, i) => alpha * value + (1 - alpha) * under[i]);
  const behind = element => !element ? [255, 255, 255]
    : over(channels(getComputedStyle(element).backgroundColor), behind(element.parentElement));
  const linear = value => value / 255 <= 0.04045 ? value / 255 / 12.92 : ((value / 255 + 0.055) / 1.055) ** 2.4;
  const luminance = ([r, g, b]) => 0.2126 * linear(r) + 0.7152 * linear(g) + 0.0722 * linear(b);
  const pairs = new Map(), faint = new Map();
  for (const element of ours) {
    const own = [...element.childNodes].filter(node => node.nodeType === Node.TEXT_NODE).map(words).join("");
    if (!own || element.closest("script, style, template, :disabled") || !element.getClientRects().length) continue;
    const style = getComputedStyle(element), drawn = element.closest("svg");
    const under = behind(drawn ? drawn.parentElement : element), ink = drawn ? style.fill : style.color;
    const [r, g, b, alpha = 1] = channels(ink);
    const [dark, light] = [under, over([r, g, b, alpha * style.opacity], under)].map(luminance).sort((x, y) => x - y);
    const contrast = (light + 0.05) / (dark + 0.05), size = parseFloat(style.fontSize);
    const pair = `${ink} on ${under.map(Math.round)}`;
    pairs.set(pair, contrast);
    if (contrast < (size >= 24 || (size >= 18.66 && style.fontWeight >= 700) ? 3 : 4.5)) {
      faint.set(pair, `${contrast.toFixed(2)} to 1, ${pair}: ${own.slice(0, 60)}`);
    }
  }
  return {
    seen: [...new Set(controls.map(element => element.localName))],
    pairs: pairs.size,
    nameless: controls.filter(element => !name(element)).map(told),
    outOfOrder: ours.filter(element => element.tabIndex > 0).map(told),
    mouseOnly: ours.filter(element => pointed(element) && !reached(element)).map(told),
    unseen: ours.filter(element => element.matches("img:not([alt]), img[alt=''], [role=img]:not([aria-label])")).map(told),
    unlabelled: [...document.querySelectorAll(".js-plotly-plot")].filter(plot => !plot.ariaLabel).map(plot => plot.id),
    faint: [...faint.values()],
  };
}
