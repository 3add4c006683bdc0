// SPDX-License-Identifier: GPL-2.0-only
// The part of `@cliffy/table` that the shell uses, over npm:cli-table3.
//
// See command.ts beside this file for why it is here. Supported: `header`, `body`, `padding`, `indent`, `align`
// per column by `columns`, `toString`, `render`; borders are not (the kernel's tables have none). As in cliffy,
// columns are as wide as their widest cell, wide characters count two, and trailing blanks stay.
// What takes an array takes one that may be changed, since cliffy's types ask for that.
// Invariant: no colour, no terminal size, no environment: the same text for a terminal and for a pipe.

import CliTable from "cli-table3";

/** What can stand in a cell. */
export type CellValue = string | number;

/** How a column is set. */
export interface ColumnOptions {
  readonly align?: "left" | "right" | "center";
}

const NO_BORDER = {
  top: "",
  "top-mid": "",
  "top-left": "",
  "top-right": "",
  bottom: "",
  "bottom-mid": "",
  "bottom-left": "",
  "bottom-right": "",
  left: "",
  "left-mid": "",
  mid: "",
  "mid-mid": "",
  right: "",
  "right-mid": "",
  middle: "",
};

/** A table of text without borders. */
export class Table {
  private heading: readonly CellValue[] | undefined;
  private rows: readonly (readonly CellValue[])[] = [];
  private gap = 1;
  private left = 0;
  private settings: readonly ColumnOptions[] = [];

  /** Sets the row above the others. */
  header(cells: CellValue[]): this {
    this.heading = cells;
    return this;
  }

  /** Sets the rows. */
  body(rows: CellValue[][]): this {
    this.rows = rows;
    return this;
  }

  /** Blanks between two columns. */
  padding(blanks: number): this {
    this.gap = blanks;
    return this;
  }

  /** Blanks before each line. */
  indent(blanks: number): this {
    this.left = blanks;
    return this;
  }

  /** How the columns of the body are set, in order; the header stays on the left, as in cliffy. */
  columns(columns: ColumnOptions[]): this {
    this.settings = columns;
    return this;
  }

  /** The lines, without a newline at the end. */
  toString(): string {
    const heading = this.heading ?? [];
    const width = Math.max(heading.length, ...this.rows.map((row) => row.length));
    const table = new CliTable({
      chars: { ...NO_BORDER, middle: " ".repeat(this.gap) },
      style: { "padding-left": 0, "padding-right": 0, head: [], border: [], compact: true },
      colAligns: Array.from({ length: width }, (_, i) => this.settings[i]?.align ?? "left"),
    });
    const cells = (row: readonly CellValue[]): CellValue[] =>
      Array.from({ length: width }, (_, i) => row[i] ?? "");
    if (this.heading !== undefined) {
      table.push(cells(heading).map((content) => ({ content, hAlign: "left" as const })));
    }
    for (const row of this.rows) table.push(cells(row));
    const margin = " ".repeat(this.left);
    return table.toString().split("\n").map((line) => margin + line).join("\n");
  }

  /** Writes the table to standard output. */
  render(): this {
    console.log(this.toString());
    return this;
  }
}
