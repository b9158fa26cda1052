// Shows an image before and after, with its annotations over it.

const COLOURS = { before: [255, 140, 26], after: [41, 171, 255], same: [235, 235, 235] };
const MODES = {
  slider: ["Slider", "1"],
  sides: ["Side by side", "2"],
  difference: ["Difference", "3"],
  together: ["One image", "4"],
};

// entry: a line of the list; detail: its details; keep: the choices of the user, which apply to the next image, too.
function pictureView(entry, detail, keep, categories) {
  const [was, is] = detail.pictures;
  const twoImages = Boolean(was?.src && is?.src && was.src !== is.src);
  const items = (detail.annotations || []).flatMap((group) => group.items.map((item) => ({ ...item, size: group.size })));
  const hasBoth = twoImages || (was?.src && is?.src && items.some((item) => item.s !== "same"));
  const modes = Object.keys(MODES).filter((mode) =>
    mode === "together" || (hasBoth && (mode !== "difference" || twoImages)));
  const habit = twoImages ? "images" : "labels"; // choices for two images and for two sets of annotations are kept apart
  const mode = modes.includes(keep[habit]) ? keep[habit] : twoImages ? "slider" : "together";
  const ratio = Math.max(...[was, is].filter((one) => one?.width).map((one) => one.height / one.width), 0) || 0.75;
  const hidden = { categories: keep.categories, layers: new Set(keep.layers) }, view = {};
  if (!keep.choseSame && items.some((item) => item.s !== "same")) hidden.layers.add("same");

  const images = el("div", { class: "images" });
  const sides = { before: side("before", was), after: side("after", is) };
  const range = el("input", { type: "range", min: 0, max: 100, step: 0.5, value: 50, class: "slide",
    "aria-label": "Share of the image before that is shown", on: { input: () => slide(Number(range.value)) } });
  const handle = el("div", { class: "handle", "aria-hidden": "true" });
  const stage = el("div", { class: "stage" }, images, sides.before.over, sides.after.over, handle, range,
    el("span", { class: "tag before", "aria-hidden": "true" }, "Before"), el("span", { class: "tag after", "aria-hidden": "true" }, "After"));
  images.append(sides.before.image, sides.after.image);
  stage.style.setProperty("--ratio", ratio);

  function side(name, picture) {
    const image = el("div", { class: "image " + name });
    if (picture?.src) {
      const shown = el("img", { src: picture.src, alt: `${entry.p}, ${name}`, draggable: "false",
        width: picture.width, height: picture.height });
      shown.addEventListener("error", () => image.replaceChildren(el("p", { class: "absent" }, "The file of this picture is missing.")));
      image.append(shown);
    } else if (picture?.absent) {
      image.append(el("p", { class: "absent" }, picture.absent));
    }
    return { name, image, over: el("div", { class: "over " + name }) };
  }

  function slide(percent) {
    stage.style.setProperty("--at", percent + "%");
    range.setAttribute("aria-valuetext", Math.round(percent) + "% before");
  }

  function show(chosen) {
    stage.dataset.mode = chosen;
    stage.classList.toggle("only-before", !is?.src && Boolean(was?.src));
    stage.classList.toggle("same-image", !twoImages);
    draw();
  }

  // With two images, each shape is drawn over the image that it belongs to; else all shapes are drawn over the one image.
  function draw() {
    const apart = stage.dataset.mode === "slider" || stage.dataset.mode === "sides";
    const visible = items.filter((item) => !hidden.categories.has(item.c) && !hidden.categories.has(item.was ?? item.c));
    const before = visible.filter((item) => item.old && item.s !== "same" && !hidden.layers.has("before"));
    const after = visible.filter((item) => item.new && item.s !== "same" && !hidden.layers.has("after"));
    const same = hidden.layers.has("same") ? [] : visible.filter((item) => item.s === "same");
    overlay(sides.before.over, [...(apart ? named(same, "same", "old") : []), ...named(before, "before", "old"),
      ...(apart || is?.src ? [] : named(same, "same", "old"))]);
    overlay(sides.after.over, [...named(same, "same", "new"), ...named(after, "after", "new")]);
  }

  const named = (list, layer, key) => list.map((item) => ({ item, layer, shape: item[key] || item.new || item.old }));

  function overlay(over, shapes) {
    const [width, height] = shapes[0]?.item.size || [1, 1];
    const drawing = svg("svg", { viewBox: `0 0 ${width} ${height}`, preserveAspectRatio: "xMidYMid meet", "aria-hidden": "true" });
    const masks = shapes.filter(({ shape }) => isMask(shape.segmentation));
    for (const { item, layer, shape } of shapes) drawing.append(shapeOf(item, layer, shape, width));
    over.replaceChildren(...(masks.length ? [maskCanvas(masks)] : []), drawing);
    over.unit = width;
    measure(over);
  }

  function shapeOf(item, layer, shape, width) {
    const group = svg("g", { class: `shape ${layer}`, "data-item": item.id });
    for (const points of polygonsOf(shape.segmentation)) {
      group.append(svg("polygon", { class: "halo", points }), svg("polygon", { class: "line", points }));
    }
    for (const [x1, y1, x2, y2] of shape.bones || []) {
      const d = `M${x1} ${y1}L${x2} ${y2}`;
      group.append(svg("path", { class: "halo", d }), svg("path", { class: "line bone", d }));
    }
    for (const [x, y] of shape.points || []) {
      const d = `M${x} ${y}h0`; // a line of length 0 with round ends is a dot whose size on the screen is constant
      group.append(svg("path", { class: "halo keypoint", d }), svg("path", { class: "line keypoint", d }));
    }
    if (isBox(shape.bbox)) {
      const [x, y, w, h] = shape.bbox, place = { x, y, width: Math.max(0, w), height: Math.max(0, h) };
      group.append(svg("rect", { class: "halo", ...place }), svg("rect", { class: "line", ...place }));
      const name = categories[layer === "before" ? item.was ?? item.c : item.c] ?? "?";
      if (!hidden.layers.has("labels")) {
        const text = svg("text", { x: clamp(x, 0, width) }, name);
        text.style.setProperty("--y", y);
        text.setAttribute("y", y);
        group.append(text);
      }
    }
    return group;
  }

  // Lines and text keep their size on the screen for images of any size.
  function measure(over) {
    const drawing = over.querySelector("svg");
    if (!drawing || !over.clientWidth) return;
    const box = drawing.viewBox.baseVal, shown = Math.min(over.clientWidth / box.width, over.clientHeight / box.height);
    drawing.style.setProperty("--unit", 1 / (shown || 1));
    for (const text of drawing.querySelectorAll("text")) {
      const y = Number(text.style.getPropertyValue("--y")), letter = 13 / (shown || 1);
      text.setAttribute("y", Math.max(y - 0.4 * letter, letter));
    }
  }

  function light(id) {
    for (const shape of stage.querySelectorAll(".shape")) shape.classList.toggle("hot", shape.dataset.item === String(id));
    stage.classList.toggle("lit", id !== null);
  }

  const bar = choice("Comparison", modes.map((name) => [name, ...MODES[name]]), mode, (chosen) => { keep[habit] = chosen; show(chosen); });
  const layers = items.length ? layerToggles(items, hidden, keep, draw) : null;
  const categoryToggles = items.length ? togglesOf(items, hidden, categories, draw) : null;
  const actual = toggle("Actual size", false, (on) => {
    frame.classList.toggle("actual", on);
    requestAnimationFrame(() => [sides.before.over, sides.after.over].forEach(measure));
  }, { title: "Actual size (z)" });
  const widest = Math.max(was?.width || 0, is?.width || 0);
  stage.style.setProperty("--width", widest + "px");
  const frame = el("div", { class: "frame" }, stage);
  slide(50);
  show(mode);
  new ResizeObserver(() => [sides.before.over, sides.after.over].forEach(measure)).observe(stage);

  const nothing = !was?.src && !is?.src;
  view.node = el("div", { class: "picture" },
    nothing ? null // the note of the entry, above, has the reason
      : [el("div", { class: "controls" }, modes.length > 1 && bar, layers, el("span", { class: "grow" }), actual),
        categoryToggles, frame, captionOf(detail)],
    items.length ? annotationList(items, categories, light, detail) : null);
  view.press = (key) => {
    const wanted = Object.keys(MODES).find((name) => MODES[name][1] === key);
    if (wanted && modes.includes(wanted)) bar.press(wanted);
    if (key === "z") actual.click();
    view.node.querySelector(`[data-key="${key}"]`)?.click();
  };
  return view;
}

function layerToggles(items, hidden, keep, draw) {
  const has = (test) => items.some(test);
  const make = (layer, text, key, wanted) => wanted && toggle(text, !hidden.layers.has(layer), (on) => {
    for (const layers of [hidden.layers, keep.layers]) {
      if (on) layers.delete(layer);
      else layers.add(layer);
    }
    if (layer === "same") keep.choseSame = true;
    draw();
  }, { "data-key": key, "data-layer": layer, title: `${text} (${key})` });
  return el("div", { class: "layers", role: "group", "aria-label": "Annotations shown" },
    make("before", "Before", "b", has((item) => item.old && item.s !== "same")),
    make("after", "After", "a", has((item) => item.new && item.s !== "same")),
    make("same", "Unchanged", "u", has((item) => item.s === "same")),
    make("labels", "Names", "n", true));
}

function togglesOf(items, hidden, categories, draw) {
  const counts = new Map();
  for (const item of items) counts.set(item.c, (counts.get(item.c) || 0) + 1);
  if (counts.size < 2) return null;
  const sorted = [...counts].sort((a, b) => b[1] - a[1]).slice(0, 60);
  return el("div", { class: "chips", role: "group", "aria-label": "Categories shown" },
    sorted.map(([category, count]) => toggle([categories[category] ?? "?", el("b", {}, number(count))], !hidden.categories.has(category), (on) => {
      if (on) hidden.categories.delete(category);
      else hidden.categories.add(category);
      draw();
    }, { "data-category": category })));
}

function captionOf({ pictures: [was, is], difference, notes }) {
  const parts = [];
  const size = (one) => (one?.width ? `${one.of ? one.of.join(" \u00d7 ") : one.width + " \u00d7 " + one.height}` : null);
  const sizes = [...new Set([size(was), size(is)].filter(Boolean))];
  if (sizes.length) parts.push(sizes.join(" \u2192 ") + " pixels");
  if (was?.of || is?.of) parts.push("scaled down");
  if (difference) parts.push(difference);
  return el("p", { class: "caption" }, [...parts, ...(notes || [])].join(" \u00b7 "));
}

function annotationList(items, categories, light, detail) {
  const order = { changed: 0, added: 1, removed: 2, same: 3 };
  const sorted = [...items].sort((a, b) => order[a.s] - order[b.s]);
  const more = (detail.annotations || []).reduce((sum, group) => sum + (group.more || 0), 0);
  const list = virtualList({ rows: sorted.length, height: 34, most: 306, role: "list", itemRole: "listitem",
    label: "Annotations of this image", draw: (index) => {
      const item = sorted[index], name = categories[item.c] ?? "?", old = item.was !== undefined && categories[item.was];
      return el("div", { class: "annotation", on: { mouseenter: () => light(item.id), mouseleave: () => light(null) } },
        el("span", { class: "mark " + item.s }, item.s === "same" ? "unchanged" : item.s),
        el("span", { class: "what" }, old ? `${old} \u2192 ${name}` : name),
        el("span", { class: "how" }, item.how || ""));
    } });
  return el("section", { class: "annotations" },
    el("h3", {}, "Annotations ", el("span", { class: "quiet" }, number(items.length + more))), list.node,
    more ? el("p", { class: "note" }, `and ${number(more)} more that are not shown`) : null);
}

function isBox(box) {
  return Array.isArray(box) && box.length === 4 && box.every((n) => Number.isFinite(n));
}

function polygonsOf(segmentation) {
  if (!Array.isArray(segmentation)) return [];
  const lists = segmentation.every((n) => typeof n === "number") ? [segmentation] : segmentation;
  return lists.filter((list) => Array.isArray(list) && list.length >= 6 && list.every((n) => Number.isFinite(n)))
    .map((list) => list.map((n, index) => n + (index % 2 ? " " : ",")).join(""));
}

function maskCanvas(masks) {
  const [height, width] = masks[0].shape.segmentation.size;
  const canvas = el("canvas", { width, height, "aria-hidden": "true" });
  const context = canvas.getContext("2d"), image = context.createImageData(width, height);
  for (const { layer, shape } of masks) {
    const mask = shape.segmentation;
    if (mask.size[0] !== height || mask.size[1] !== width) continue;
    try {
      paintMask(mask, image, COLOURS[layer]);
    } catch {
      // a malformed mask is not drawn; its annotation is listed
    }
  }
  context.putImageData(image, 0, 0);
  return canvas;
}
