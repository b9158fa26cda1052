// The page: selection and filters, the list, the overview, and keyboard shortcuts.
// git_lds/review/listing.py has a table of the one-letter keys of an entry.

const review = JSON.parse(document.getElementById("review").textContent);
const entries = review.entries, categories = review.categories;
const KINDS = { image: "Images", annotations: "Annotations", table: "Tables", json: "JSON", text: "Text", binary: "Other" };
const KIND = { image: "Image", annotations: "Annotation file", table: "Table", json: "JSON", text: "Text", binary: "File" };
const CHANGES = { added: "Added", changed: "Changed", removed: "Removed", renamed: "Renamed", labels: "Annotations only" };
const SIGNS = { added: "+", changed: "~", removed: "\u2212", renamed: "\u2192", labels: "\u25a1" };
const $ = (id) => document.getElementById(id);
const state = { shown: entries.map((_, index) => index), chosen: null, text: "", kinds: new Set(), changes: new Set(),
  category: new Set(), directory: null, open: new Set() };
const keep = { images: null, labels: null, layers: new Set(), categories: new Set(), choseSame: false };
let picture = null, list = null;

// Parts of the data. A part is loaded when one of its entries is selected.

const parts = new Map(), waiting = new Map();

window.gitLdsPart = (name, data) => {
  parts.set(name, data);
  waiting.get(name)?.resolve();
};

function part(name) {
  if (!waiting.has(name)) {
    const wait = {};
    wait.promise = new Promise((resolve, reject) => Object.assign(wait, { resolve, reject }));
    waiting.set(name, wait);
    if (parts.has(name)) wait.resolve();
    else document.head.append(el("script", { src: `data/${Number(name)}.js`, on: { error: () => {
      waiting.delete(name);
      wait.reject();
    } } }));
  }
  return waiting.get(name).promise.then(() => parts.get(name));
}

// Filters

const directoryOf = (path) => path.slice(0, path.lastIndexOf("/") + 1);
const haystack = entries.map((entry) =>
  (entry.p + "\n" + (entry.o || "") + "\n" + (entry.g || []).map((index) => categories[index]).join("\n")).toLowerCase());

function matches(index) {
  const entry = entries[index];
  return (!state.kinds.size || state.kinds.has(entry.k)) && (!state.changes.size || state.changes.has(entry.c))
    && (!state.category.size || (entry.g || []).some((one) => state.category.has(one)))
    && (state.directory === null || entry.p.startsWith(state.directory))
    && state.text.split(/\s+/).every((word) => haystack[index].includes(word));
}

function filter() {
  state.shown = entries.map((_, index) => index).filter(matches);
  const all = state.shown.length === entries.length;
  $("count").textContent = all ? counted(entries.length, "file") : `${number(state.shown.length)} of ${counted(entries.length, "file")}`;
  $("show-filtered").textContent = "Show " + counted(state.shown.length, "file");
  $("clear").hidden = all && !state.text;
  list.resize(state.shown.length);
  list.node.classList.toggle("empty", !state.shown.length);
  mark();
}

function clear() {
  state.text = $("search").value = "";
  state.kinds.clear(), state.changes.clear(), state.category.clear();
  state.directory = null;
  facets();
  filter();
}

function facets() {
  const count = (test) => entries.reduce((sum, entry) => sum + (test(entry) ? 1 : 0), 0);
  const chips = (title, names, set, key) => {
    const there = Object.entries(names).map(([value, text]) => [value, text, count((entry) => entry[key] === value)]).filter(([, , n]) => n);
    if (there.length < 2) return null;
    return el("fieldset", {}, el("legend", {}, title), el("div", { class: "chips" },
      there.map(([value, text, n]) => toggle([el("i", { class: "dot " + value }), text, el("b", {}, number(n))], set.has(value), (on) => {
        if (on) set.add(value);
        else set.delete(value);
        filter();
      }, { "data-filter": value }))));
  };
  $("facets").replaceChildren(...[chips("Change", CHANGES, state.changes, "c"), chips("Kind", KINDS, state.kinds, "k"),
    directories(), categoryFilter()].filter(Boolean));
}

function categoryFilter() {
  const counts = new Map();
  for (const entry of entries) for (const one of entry.g || []) counts.set(one, (counts.get(one) || 0) + 1);
  if (!counts.size) return null;
  const sorted = [...counts].sort((a, b) => b[1] - a[1] || (categories[a[0]] < categories[b[0]] ? -1 : 1));
  const make = ([index, n]) => toggle([categories[index], el("b", {}, number(n))], state.category.has(index), (on) => {
    if (on) state.category.add(index);
    else state.category.delete(index);
    filter();
  }, { "data-category": index });
  const chips = el("div", { class: "chips" }, sorted.slice(0, 12).map(make));
  const rest = sorted.slice(12, 400);
  return el("fieldset", {}, el("legend", {}, "Category"), chips, rest.length ? el("details", {},
    el("summary", {}, `${rest.length} more`), el("div", { class: "chips" }, rest.map(make))) : null);
}

const tree = directoryTree();

function directoryTree() {
  const root = { path: "", name: "", inner: new Map(), added: 0, changed: 0, removed: 0 };
  for (const entry of entries) {
    const names = entry.p.split("/").slice(0, -1);
    for (let node = root, depth = 0; ; depth++) {
      if (entry.c === "added") node.added++;
      else if (entry.c === "removed") node.removed++;
      else node.changed++;
      if (depth === names.length) break;
      if (!node.inner.has(names[depth])) {
        node.inner.set(names[depth], { path: node.path + names[depth] + "/", name: names[depth], inner: new Map(), added: 0, changed: 0, removed: 0 });
      }
      node = node.inner.get(names[depth]);
    }
  }
  return root;
}

function directories() {
  if (!tree.inner.size) return null;
  const made = el("ul", { class: "tree" });
  const buttons = [];
  const draw = (node, depth, into) => {
    let name = node.name;
    while (node.inner.size === 1) { // a directory that contains only one directory shares its line
      const [only] = node.inner.values();
      if (only.added + only.changed + only.removed !== node.added + node.changed + node.removed) break;
      node = only, name += "/" + only.name;
    }
    const button = el("button", { type: "button", class: "directory", "data-directory": node.path,
      "aria-pressed": String(state.directory === node.path), on: { click: () => {
        state.directory = state.directory === node.path ? null : node.path;
        buttons.forEach((one) => one.setAttribute("aria-pressed", String(one.dataset.directory === state.directory)));
        filter();
      } } }, el("span", { class: "name" }, name + "/"), marks(node.added, node.changed, node.removed));
    button.style.setProperty("--depth", depth);
    buttons.push(button);
    const inner = [...node.inner.values()].sort((a, b) => (a.name < b.name ? -1 : 1)).slice(0, 300);
    const item = el("li", {}, button);
    into.append(item);
    if (inner.length && depth < 6) {
      const below = el("ul", {});
      inner.forEach((one) => draw(one, depth + 1, below));
      item.append(below);
    }
  };
  [...tree.inner.values()].sort((a, b) => (a.name < b.name ? -1 : 1)).slice(0, 300).forEach((node) => draw(node, 0, made));
  return el("fieldset", {}, el("legend", {}, "Directory"), made);
}

// The list

function drawRow(at) {
  const index = state.shown[at], entry = entries[index], directory = directoryOf(entry.p);
  const thumb = (source) => el("img", { src: source, alt: "", loading: "lazy", decoding: "async" });
  const [was, is] = entry.t || [];
  const pictures = entry.k === "image" && (was || is)
    ? el("span", { class: "thumbs" + (was && is && was !== is ? " two" : "") }, was && was !== is && thumb(was), is && thumb(is))
    : el("span", { class: "thumbs none", "aria-hidden": "true" }, { annotations: "{ }", json: "{ }", table: "\u25a6", text: "\u00b6", image: "\u25a8" }[entry.k] || "\u2022");
  const row = el("div", { id: "entry-" + index, "aria-selected": String(index === state.chosen),
    class: "entry" + (index === state.chosen ? " chosen" : ""), on: { click: () => choose(index) } },
    pictures,
    el("span", { class: "about" },
      el("span", { class: "file", title: entry.p }, entry.p.slice(directory.length)),
      el("span", { class: "where" }, directory || "./")),
    el("span", { class: "facts" },
      el("span", { class: "mark " + entry.c }, el("span", { "aria-hidden": "true" }, SIGNS[entry.c]), el("span", { class: "word" }, CHANGES[entry.c].toLowerCase())),
      entry.n ? el("span", { class: "warned", title: entry.n }, "!") : entry.a && entry.a.some(Boolean) ? marks(...entry.a) : el("span", { class: "quiet" }, sizeChange(entry))));
  return row;
}

function sizeChange({ b }) {
  if (!b) return "";
  const [was, is] = b;
  return was === null || is === null ? bytes(is ?? was) : was === is ? bytes(is) : (is > was ? "+" : "\u2212") + bytes(Math.abs(is - was));
}

function mark() {
  const at = state.shown.indexOf(state.chosen);
  if (at >= 0) {
    list.to(at);
    list.node.setAttribute("aria-activedescendant", "entry-" + state.chosen);
  } else {
    list.node.removeAttribute("aria-activedescendant");
    list.refresh();
  }
  panes();
}

// A narrow window shows either the overview, the list or a file.
function panes() {
  const listing = document.body.classList.contains("listing");
  document.body.classList.toggle("looking", state.chosen !== null);
  $("show-overview").setAttribute("aria-pressed", String(state.chosen === null && !(listing && matchMedia("(max-width: 720px)").matches)));
  $("show-list").setAttribute("aria-pressed", String(state.chosen === null && listing));
}

function showPane(listing) {
  openFilters(false);
  document.body.classList.toggle("listing", listing);
  choose(null);
  if (listing) list.refresh();
}

function step(by) {
  if (!state.shown.length) return;
  const at = state.shown.indexOf(state.chosen);
  list.node.focus({ preventScroll: true }); // a screen reader then announces the selected entry
  const next = at < 0 ? (by > 0 ? 0 : state.shown.length - 1) : clamp(at + by, 0, state.shown.length - 1);
  choose(state.shown[next]);
}

// The details of an entry

function choose(index, { quietly } = {}) {
  state.chosen = index;
  const hash = index === null ? "" : "#" + encodeURIComponent(entries[index].p);
  if (!quietly) history.replaceState(null, "", hash || "#");
  mark();
  if (index === null) return overview();
  const entry = entries[index];
  picture = null;
  const body = el("div", { class: "body", "aria-busy": "true" }, el("p", { class: "quiet" }, "Loading\u2026"));
  $("detail").replaceChildren(heading(entry), body);
  $("detail").scrollTop = 0;
  if (matchMedia("(max-width: 720px)").matches) $("detail").querySelector("h2").focus({ preventScroll: true }); // the list is hidden
  part(entry.s).then((data) => {
    if (state.chosen !== index) return;
    body.replaceChildren(...content(entry, data[index] || {}));
    body.removeAttribute("aria-busy");
  }, () => {
    body.replaceChildren(el("p", { class: "notice" }, `Part of this page is missing: data/${entry.s}.js, beside index.html.`));
  });
}

function heading(entry) {
  const [was, is] = entry.b || [null, null];
  const sizes = was === null ? bytes(is) : is === null ? bytes(was) : was === is ? bytes(is) : `${bytes(was)} \u2192 ${bytes(is)}`;
  return el("div", { class: "heading" },
    el("button", { type: "button", class: "back", on: { click: () => showPane(true) } }, "\u2190 Files"),
    el("h2", { tabindex: "-1" }, el("span", { class: "where" }, directoryOf(entry.p)), entry.p.slice(directoryOf(entry.p).length)),
    el("p", {}, el("span", { class: "mark " + entry.c }, CHANGES[entry.c]), " ", el("span", { class: "quiet" },
      [KIND[entry.k], sizes, entry.o && `was ${entry.o}`].filter(Boolean).join(" \u00b7 "))));
}

function content(entry, detail) {
  const made = [];
  for (const note of [entry.n, ...(detail.remarks || [])].filter(Boolean)) made.push(el("p", { class: "notice" }, note));
  if (detail.drawings) made.push(drawingView(detail.drawings));
  if (detail.pictures) {
    picture = pictureView(entry, detail, keep, categories);
    made.push(picture.node);
  }
  if (detail.coco !== undefined) made.push(sourceView(review.sources[detail.coco]));
  if (detail.table) made.push(tableView(detail.table));
  if (detail.values) made.push(valuesView(detail.values));
  if (detail.lines) made.push(linesView(detail.lines));
  if (detail.facts) made.push(factsView(detail.facts));
  return made;
}

const factsView = (facts) => el("dl", { class: "about-file" }, facts.flatMap(([name, was, is]) =>
  [el("dt", {}, name), el("dd", {}, was === is || was === null ? is ?? "unknown" : is === null ? was : `${was} \u2192 ${is}`)]));

// An annotation file: its changes, and the images whose annotations changed.
function sourceView(source) {
  const named = source.categories.map(([index, was, is]) => [categories[index], was, is]);
  const touched = entries.map((_, index) => index).filter((index) => (entries[index].q || []).includes(source.id));
  const rows = [["Images", source.images], ["Annotations", source.annotations], ["Categories", source.names]];
  return el("section", { class: "source" },
    (source.notes || []).map((note) => el("p", { class: "notice" }, note)),
    el("div", { class: "tiles" }, rows.map(([name, counts]) => el("div", { class: "tile" },
      el("h3", {}, name), counts.some(Boolean) ? marks(...counts) : el("span", { class: "quiet" }, "unchanged")))),
    (source.facts || []).length ? el("ul", { class: "facts-list" }, source.facts.map((fact) => el("li", {}, fact))) : null,
    named.length ? barChart(named, "Annotations of each category") : null,
    touched.length ? [el("h3", {}, "Images whose annotations changed ", el("span", { class: "quiet" }, number(touched.length))),
      gallery(touched)] : null);
}

function gallery(touched) {
  const list = virtualList({ rows: touched.length, height: 56, most: 448, role: "list", itemRole: "listitem", label: "Images whose annotations changed", draw: (at) => {
    const entry = entries[touched[at]], source = entry.t && (entry.t[1] || entry.t[0]);
    return el("div", {}, el("a", { class: "small entry", href: "#" + encodeURIComponent(entry.p) },
      el("span", { class: "thumbs" }, source && el("img", { src: source, alt: "", loading: "lazy" })),
      el("span", { class: "about" }, el("span", { class: "file" }, entry.p)), entry.a && marks(...entry.a)));
  } });
  return list.node;
}

// The overview

function overview() {
  picture = null;
  const { totals } = review;
  const tile = (name, counts, more) => el("div", { class: "tile" }, el("h3", {}, name),
    counts.some(Boolean) ? marks(...counts) : el("span", { class: "quiet" }, "no changes"), more && el("p", { class: "quiet" }, more));
  const growth = totals.bytes[1] - totals.bytes[0];
  const bad = entries.map((_, index) => index).filter((index) => entries[index].n);
  const made = [
    el("div", { class: "heading" }, el("h2", { tabindex: "-1" }, "Overview"), el("p", { class: "quiet" }, review.how)),
    el("div", { class: "body" },
      (review.notes || []).map((note) => el("p", { class: "notice" }, note)),
      !entries.length && el("p", { class: "notice" }, "No files changed between these two commits."),
      el("div", { class: "tiles" },
        tile("Files", totals.files, [totals.renamed && `${number(totals.renamed)} renamed`,
          growth ? `${growth > 0 ? "+" : "\u2212"}${bytes(Math.abs(growth))}` : "same size"].filter(Boolean).join(", ")),
        tile("Images", totals.images, totals.labelled ? `${counted(totals.labelled, "image")} with new annotations only` : null),
        review.sources.length > 0 && tile("Annotations", totals.annotations, counted(review.sources.length, "annotation file"))),
      bad.length ? el("section", {}, el("h3", {}, "Needs attention"), el("ul", { class: "bad" }, bad.slice(0, 50).map((index) =>
        el("li", {}, el("a", { href: "#" + encodeURIComponent(entries[index].p) }, entries[index].p), el("span", { class: "quiet" }, entries[index].n)))),
        bad.length > 50 && el("p", { class: "note" }, `and ${number(bad.length - 50)} more files`)) : null,
      review.sources.map((source) => el("section", {}, barChart(source.categories.map(([index, was, is]) => [categories[index], was, is]), source.path))),
      directoryTable()),
  ];
  $("detail").replaceChildren(...made);
  $("detail").scrollTop = 0;
}

function directoryTable() {
  const found = new Map();
  for (const entry of entries) {
    const directory = directoryOf(entry.p) || "./";
    if (!found.has(directory)) found.set(directory, [0, 0, 0, 0]);
    const counts = found.get(directory);
    counts[{ added: 0, removed: 2 }[entry.c] ?? 1]++;
    counts[3] += (entry.b?.[1] ?? 0) - (entry.b?.[0] ?? 0);
  }
  const sorted = [...found].sort((a, b) => (a[0] < b[0] ? -1 : 1)), shown = sorted.slice(0, 200);
  if (!shown.length) return null;
  return el("section", {}, el("h3", {}, "By directory"), el("table", { class: "directories" },
    el("thead", {}, el("tr", {}, el("th", { scope: "col" }, "Directory"), el("th", { scope: "col" }, "Files"), el("th", { scope: "col" }, "Size"))),
    el("tbody", {}, shown.map(([directory, [added, changed, removed, growth]]) => el("tr", {}, el("th", { scope: "row" }, directory),
      el("td", {}, marks(added, changed, removed)), el("td", {}, growth ? (growth > 0 ? "+" : "\u2212") + bytes(Math.abs(growth)) : "\u00b1 0"))))),
    sorted.length > 200 && el("p", { class: "note" }, `and ${number(sorted.length - 200)} more directories`));
}

// Keyboard shortcuts

const KEYS = [
  [["j", "ArrowDown"], "j or \u2193", "next file", () => step(1)],
  [["k", "ArrowUp"], "k or \u2191", "previous file", () => step(-1)],
  [["Home"], "Home", "first file", () => state.shown.length && choose(state.shown[0])],
  [["End"], "End", "last file", () => state.shown.length && choose(state.shown[state.shown.length - 1])],
  [["o"], "o", "overview", () => choose(null)],
  [["/"], "/", "search", () => { openFilters(true); $("search").focus(); $("search").select(); }],
  [["1", "2", "3", "4"], "1 2 3 4", "slider, side by side, difference, one image", (key) => picture?.press(key)],
  [["b", "a", "u", "n"], "b a u n", "annotations before, after, unchanged; category names", (key) => picture?.press(key)],
  [["z"], "z", "actual size", (key) => picture?.press(key)],
  [["t"], "t", "switch between light and dark", () => toggleTheme()],
  [["?"], "?", "keyboard shortcuts", () => help()],
  [["Escape"], "Esc", "leave the search or the filters, or close the file", () => escape()],
];

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || $("help").open) return;
  const target = event.target, inText = target.matches("input[type=search]"), inSlide = target.matches("input[type=range]");
  if (inText && event.key === "Enter" && state.shown.length) {
    target.blur();
    openFilters(false);
    return choose(state.shown[0]);
  }
  if (inText && event.key !== "Escape") return;
  const moves = event.key.startsWith("Arrow") || event.key === "Home" || event.key === "End";
  if (moves && (inSlide || target.closest(".body, .scroll"))) return;
  const found = KEYS.find(([keys]) => keys.includes(event.key));
  if (!found) return;
  event.preventDefault();
  found[3](event.key);
});

function escape() {
  if (document.activeElement === $("search")) {
    if (state.text) { $("search").value = state.text = ""; filter(); }
    else { $("search").blur(); openFilters(false); }
  } else if (document.body.classList.contains("filtering")) openFilters(false);
  else choose(null);
}

function help() {
  $("keys").replaceChildren(...KEYS.flatMap(([, name, what]) => [el("dt", {}, name.split(" ").map((word) =>
    word === "or" ? " or " : el("kbd", {}, word))), el("dd", {}, what)]));
  $("help").showModal();
}

function openFilters(open) {
  document.body.classList.toggle("filtering", open);
  $("show-filters").setAttribute("aria-expanded", String(open));
}

// The theme is that of the system until the user switches it.

function stored(value) {
  try {
    if (value === undefined) return localStorage.getItem("git-lds-theme");
    localStorage.setItem("git-lds-theme", value);
  } catch {
    // some browsers have no storage for pages from files
  }
  return null;
}

function toggleTheme() {
  const dark = document.documentElement.dataset.theme ? document.documentElement.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  document.documentElement.dataset.theme = dark ? "light" : "dark";
  stored(document.documentElement.dataset.theme);
}

function fromHash() {
  let path = "";
  try {
    path = decodeURIComponent(location.hash.slice(1));
  } catch {
    // not a link that this page made
  }
  const index = path ? entries.findIndex((entry) => entry.p === path) : -1;
  choose(index < 0 ? null : index, { quietly: true });
}

function begin() {
  if (["dark", "light"].includes(stored())) document.documentElement.dataset.theme = stored();
  $("title").textContent = review.title;
  $("range").append(el("code", {}, review.base), " \u2192 ", el("code", {}, review.head));
  list = virtualList({ rows: entries.length, height: 64, draw: drawRow, role: "listbox", itemRole: "option", label: "Changed files" });
  $("list").append(list.node);
  $("search").addEventListener("input", () => {
    state.text = $("search").value.toLowerCase().trim();
    filter();
  });
  $("clear").addEventListener("click", clear);
  $("theme").addEventListener("click", toggleTheme);
  $("help-button").addEventListener("click", help);
  $("show-overview").addEventListener("click", () => showPane(false));
  $("show-list").addEventListener("click", () => showPane(true));
  $("show-filtered").addEventListener("click", () => showPane(true));
  $("show-filters").addEventListener("click", () => openFilters(!document.body.classList.contains("filtering")));
  addEventListener("hashchange", fromHash);
  facets();
  filter();
  fromHash();
  document.documentElement.dataset.ready = "yes";
}

begin();
