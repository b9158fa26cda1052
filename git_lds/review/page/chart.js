// Draws pairs of bars: a count before and after for each name.

const MOST_BARS = 40;

// counts: [[name, before, after]], in the order to draw. Returns an element, which is redrawn when its width changes.
function barChart(counts, title) {
  const drawn = counts.slice(0, MOST_BARS), top = Math.max(1, ...drawn.flatMap(([, before, after]) => [before, after]));
  const picture = svg("svg", { role: "img",
    "aria-label": title + ": " + drawn.map(([name, before, after]) => `${name} ${before} to ${after}`).join(", ") });
  let last = 0;
  new ResizeObserver(() => {
    const width = Math.round(picture.clientWidth);
    if (!width || width === last) return;
    last = width;
    drawBars(picture, drawn, top, width);
  }).observe(picture);
  drawBars(picture, drawn, top, 560);
  return el("figure", { class: "chart" },
    el("figcaption", {}, el("span", {}, title), el("span", { class: "legend" },
      el("i", { class: "was" }), "before", el("i", { class: "is" }), "after")), picture,
    counts.length > MOST_BARS && el("p", { class: "note" }, `and ${number(counts.length - MOST_BARS)} more categories`));
}

function drawBars(picture, drawn, top, width) {
  const left = width < 420 ? 92 : 132, right = 108, step = 34, letters = Math.floor(left / 7.4);
  const length = (count) => (count ? Math.max(2, (count / top) * (width - left - right)) : 0);
  picture.setAttribute("viewBox", `0 0 ${width} ${drawn.length * step}`);
  picture.style.height = drawn.length * step + "px";
  picture.replaceChildren(...drawn.map(([name, before, after], index) => {
    const y = index * step, delta = after - before;
    const short = name.length > letters ? name.slice(0, letters - 1) + "\u2026" : name;
    return svg("g", {},
      svg("title", {}, `${name}: ${number(before)} before, ${number(after)} after`),
      svg("text", { class: "label", x: left - 10, y: y + 18, "text-anchor": "end" }, short),
      svg("rect", { class: "was", x: left, y: y + 4, width: length(before), height: 9, rx: 1.5 }),
      svg("rect", { class: "is", x: left, y: y + 14, width: length(after), height: 9, rx: 1.5 }),
      svg("text", { class: "value", x: left + Math.max(length(before), length(after)) + 8, y: y + 18 },
        number(after), delta ? svg("tspan", { class: delta > 0 ? "up" : "down", dx: 6 }, signed(delta)) : null));
  }));
}
