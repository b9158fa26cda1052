// Shows the differences of tables, JSON and text, with any number of rows.

function tableView(table) {
  const { columns, rows, more } = table;
  const width = columns.map((column, index) => clamp(Math.max(column.name.length,
    ...rows.slice(0, 200).map((row) => String(row.cells[index] ?? "").length + (row.old?.[index] !== undefined ? String(row.old[index]).length + 3 : 0))), 6, 40));
  const grid = "7rem " + width.map((letters) => letters * 0.62 + 1.5 + "rem").join(" ");
  const cells = (made) => {
    made.style.gridTemplateColumns = grid;
    return made;
  };
  const head = cells(el("div", { class: "cells head", role: "row" }, el("span", { role: "columnheader" }, ""),
    columns.map((column) => el("span", { role: "columnheader", class: column.s || "" },
      column.name, column.key ? el("em", {}, " key") : null, column.s ? el("em", {}, " " + column.s) : null))));
  const list = virtualList({ rows: rows.length, height: 30, most: 510, role: "rowgroup", label: "Rows that differ", draw: (index) => {
    const row = rows[index];
    return cells(el("div", { class: "cells " + row.s, role: "row" }, el("span", { role: "cell" }, el("span", { class: "mark " + row.s }, row.s)),
      columns.map((_, at) => {
        const old = row.old?.[at], now = row.cells[at] ?? "";
        return el("span", { role: "cell", title: String(now) }, old !== undefined && old !== null ? [el("del", {}, String(old)), el("ins", {}, String(now))] : String(now));
      })));
  } });
  const wide = el("div", { class: "table", role: "table", "aria-label": "Rows that differ", "aria-rowcount": rows.length + 1 },
    el("div", { role: "rowgroup" }, head), list.node);
  wide.style.setProperty("--wide", "calc(7rem + " + width.map((letters) => letters * 0.62 + 1.5 + "rem").join(" + ") + ")");
  return el("div", {}, el("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Table" }, wide),
    more ? el("p", { class: "note" }, `and ${number(more)} more rows`) : null);
}

function valuesView({ changes, more }) {
  const list = virtualList({ rows: changes.length, height: 48, most: 576, role: "list", itemRole: "listitem", label: "Values that differ", draw: (index) => {
    const change = changes[index];
    return el("div", { class: "value " + change.s },
      el("code", { class: "where", title: change.path }, change.path),
      el("span", { class: "both" }, change.old !== undefined && el("del", { title: change.old }, change.old),
        change.new !== undefined && el("ins", { title: change.new }, change.new)));
  } });
  return el("div", {}, list.node, more ? el("p", { class: "note" }, `and ${number(more)} more values`) : null);
}

function linesView({ lines, more }) {
  const names = { "+": "added", "-": "removed", "@": "place", " ": "" };
  const list = virtualList({ rows: lines.length, height: 21, most: 630, role: "list", itemRole: "listitem", label: "Lines that differ", draw: (index) => {
    const [kind, text] = [lines[index][0], lines[index].slice(1)];
    return el("div", { class: "line " + (names[kind] || "") }, el("span", { class: "sign", "aria-hidden": "true" }, kind === "@" ? "" : kind), el("span", {}, text));
  } });
  list.node.classList.add("lines");
  return el("div", {}, list.node, more ? el("p", { class: "note" }, `and ${number(more)} more lines`) : null);
}

// An SVG is shown as an image, in which no script runs and nothing is loaded, and as text.
function drawingView(texts) {
  return el("div", { class: "drawings" }, texts.map((text, index) => text === null ? null : el("figure", {},
    el("img", { src: "data:image/svg+xml," + encodeURIComponent(text), alt: index ? "Drawing after" : "Drawing before" }),
    el("figcaption", {}, index ? "After" : "Before"))));
}
