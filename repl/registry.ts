// SPDX-License-Identifier: GPL-2.0-only
// The table of commands: by name and alias, in groups, and the nearest name to a mistyped one.
//
// Ours. Invariant: names and aliases are unique over the whole table; the order of the table is the order of
// `help`. A table is made once and never changes.

import type { Command } from "./command.ts";
import { didYouMean } from "./nearest.ts";
import type { Session } from "./session.ts";
import { UsageError } from "./status.ts";

/** The commands of one shell. */
export class Registry<S extends Session = Session> {
  /** In the order in which `help` lists them. */
  readonly commands: readonly Command<S>[];
  private readonly byName = new Map<string, Command<S>>();

  constructor(commands: readonly Command<S>[]) {
    this.commands = commands;
    for (const command of commands) {
      for (const name of [command.name, ...(command.aliases ?? [])]) {
        if (this.byName.has(name)) throw new TypeError(`two commands are called "${name}"`);
        this.byName.set(name, command);
      }
    }
  }

  /** Every word that starts a command. */
  names(): string[] {
    return [...this.byName.keys()];
  }

  /** The groups, in order of first appearance. */
  groups(): string[] {
    return [...new Set(this.commands.map((command) => command.group))];
  }

  /** The command of that name or alias. */
  find(name: string): Command<S> | undefined {
    return this.byName.get(name);
  }

  /** The command of that name or alias, or the error that names the nearest. */
  get(name: string): Command<S> {
    const command = this.find(name);
    if (command === undefined) throw unknownCommand(name, this.names());
    return command;
  }
}

/** `unknown command "slabinf". Did you mean slabinfo?` */
export function unknownCommand(name: string, names: Iterable<string>): UsageError {
  return new UsageError(`unknown command "${name}"${didYouMean(name, names)} (help lists all)`);
}
