// Tables are sorted by the column whose head is clicked: by number where all of its cells begin with one, else by text.
"use strict";

function valueOf(row, column) {
  return row.cells[column].textContent.trim();
}

function numberOf(text) {
  const found = text.replace(/,/g, "").match(/^[-+]?\d+(\.\d+)?/);
  return found ? Number(found[0]) : NaN;
}

function compare(one, other) {
  const numbers = [numberOf(one), numberOf(other)];
  const known = numbers.map((number) => !Number.isNaN(number));
  if (known[0] !== known[1]) return known[0] ? -1 : 1; // what was not measured comes last
  if (known[0]) return numbers[1] - numbers[0]; // the greatest first
  const [a, b] = [one.toLowerCase(), other.toLowerCase()];
  return a < b ? -1 : a > b ? 1 : 0;
}

function sort(table, head) {
  const column = head.cellIndex;
  const body = table.tBodies[0];
  const turned = head.getAttribute("aria-sort") === "descending" ? -1 : 1;
  const rows = Array.from(body.rows);
  rows.sort((one, other) => {
    const [a, b] = [valueOf(one, column), valueOf(other, column)];
    const bothKnown = !Number.isNaN(numberOf(a)) && !Number.isNaN(numberOf(b));
    return bothKnown ? turned * compare(a, b) : compare(a, b);
  });
  for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
  head.setAttribute("aria-sort", turned === 1 ? "descending" : "ascending");
  body.append(...rows);
}

function prepare() {
  for (const table of document.querySelectorAll("article table")) {
    if (!table.tHead || !table.tBodies.length || table.tBodies[0].rows.length < 2) continue;
    for (const head of table.tHead.rows[0].cells) {
      head.tabIndex = 0;
      head.setAttribute("role", "columnheader");
      head.addEventListener("click", () => sort(table, head));
      head.addEventListener("keydown", (event) => {
        if (event.key === "Enter") sort(table, head);
      });
    }
  }
}

document.addEventListener("DOMContentLoaded", prepare);
