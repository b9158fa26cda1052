// A list of any length. Only the visible rows are elements.

const SPARE = 6; // rows beyond either edge, so that quick scrolling shows no gaps
const TALLEST = 8e6; // pixels; browsers limit elements to 16 to 33 million

// rows: their number; height: of one row, in pixels; draw(index): an element. Returns {node, to, refresh, resize}.
function virtualList({ rows, height, draw, label, role, itemRole, id, most }) {
  const space = el("div", { class: "space", role: "presentation" });
  const node = el("div", { class: "virtual", tabindex: "0", role, id, "aria-label": label }, space);
  let first = -1, last = -1, scale = 1;

  function sized(count) {
    rows = count;
    const wanted = rows * height;
    scale = wanted > TALLEST ? wanted / TALLEST : 1;
    space.style.height = wanted / scale + "px";
    if (most) node.style.height = Math.min(most, wanted) + 2 + "px";
    first = last = -1;
    space.replaceChildren();
    show();
  }

  function show() {
    const top = node.scrollTop * scale, view = node.clientHeight || most || 600;
    const from = clamp(Math.floor(top / height) - SPARE, 0, rows);
    const to = clamp(Math.ceil((top + view) / height) + SPARE, 0, rows);
    if (from === first && to === last && scale === 1) return;
    first = from, last = to;
    const made = [];
    for (let index = from; index < to; index++) {
      const row = draw(index);
      row.classList.add("row");
      if (itemRole) {
        row.setAttribute("role", itemRole);
        row.setAttribute("aria-setsize", rows);
        row.setAttribute("aria-posinset", index + 1);
      }
      row.style.height = height + "px";
      row.style.transform = `translateY(${index * height - top + node.scrollTop}px)`;
      made.push(row);
    }
    space.replaceChildren(...made);
  }

  function to(index) {
    const top = index * height, view = node.clientHeight;
    if (top < node.scrollTop * scale) node.scrollTop = top / scale;
    else if (top + height > node.scrollTop * scale + view) node.scrollTop = (top + height - view) / scale;
    refresh();
  }

  function refresh() {
    first = last = -1;
    show();
  }

  node.addEventListener("scroll", show, { passive: true });
  new ResizeObserver(() => refresh()).observe(node);
  sized(rows);
  return { node, to, refresh, resize: sized };
}
