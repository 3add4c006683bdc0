// SPDX-License-Identifier: GPL-2.0-only
// The part of `@cliffy/command` that the shell uses, over npm:commander.
//
// cliffy is published on JSR only, which the machines this project is built on do not reach; the import map
// gives its name to this file. It is no fake: what is here behaves as cliffy 1.2 documents it (same calls, same
// result, same wording of errors); what is not here does not exist. deno.jsr.json points `@cliffy/command` at the
// real package, on which repl/ runs unchanged: tests/repl and its transcripts type-check and pass on cliffy 1.2.1 too.
// Supported: `name`, `description`, `arguments`, `option` (with `collect`, `default`, `required`), `action`,
// `command(name, cmd)` as a statement, `helpOption(false)`, `parse`. All values are strings: of the types only
// `:string` is known, since values.ts does the checking. Errors are always thrown, as cliffy does after
// `throwErrors()`; nothing is ever printed and nothing exits.
// Invariant: declarations are kept as data and every `parse` builds a fresh commander tree, because commander
// keeps option values between calls. commander asks the environment about colours and the width of the terminal
// unless it is told; it is told, so that no permission is needed.

import { Command as Commander, CommanderError, Option } from "commander";

/** Handles a command. `this` is not bound. Leave the parameters' types to inference: cliffy infers narrower ones. */
export type ActionHandler = (options: Record<string, unknown>, ...args: unknown[]) => unknown;

/** How an option behaves. */
export interface OptionOptions {
  /** May be given several times; its value is then an array. */
  readonly collect?: boolean;
  /** The value when it is not given. */
  readonly default?: unknown;
  /** It is an error not to give it. */
  readonly required?: boolean;
}

/** What {@linkcode Command.parse} resolves to. */
export interface CommandResult {
  /** By name in camelCase; only what was given or has a default. */
  readonly options: Record<string, unknown>;
  /** The positional arguments. */
  readonly args: unknown[];
  /** The words after `--`. */
  readonly literal: string[];
  /** The command that was reached. */
  readonly cmd: Command;
}

/** Thrown when the command is used wrongly. */
export class ValidationError extends Error {
  override name = "ValidationError";
  /** What a program would exit with. */
  readonly exitCode = 2;
}

interface DeclaredOption {
  readonly flags: string;
  readonly description: string;
  readonly options: OptionOptions;
}

/** A command with its options, arguments and sub-commands. */
export class Command {
  private title = "";
  private about = "";
  private parameters: string[] = [];
  private readonly declared: DeclaredOption[] = [];
  private readonly children = new Map<string, Command>();
  private handler: ActionHandler | undefined;

  /** Sets the name that messages use. */
  name(name: string): this {
    this.title = name;
    return this;
  }

  /** The name that messages use. */
  getName(): string {
    return this.title;
  }

  /** Sets the description. */
  description(description: string): this {
    this.about = description;
    return this;
  }

  /** The description. */
  getDescription(): string {
    return this.about;
  }

  /** Declares positional arguments: `<name:string> [other:string] [...rest:string]`. */
  arguments(definition: string): this {
    this.parameters = definition.split(/ +/).map(withoutTypes);
    return this;
  }

  /** Declares an option: `-n, --name <value:string>`, or without value for a flag. */
  option(flags: string, description: string, options: OptionOptions = {}): this {
    this.declared.push({ flags: withoutTypes(flags), description, options });
    return this;
  }

  /** Sets what is done when this command is reached. */
  action(handler: ActionHandler): this {
    this.handler = handler;
    return this;
  }

  /** Adds a sub-command. Call it as a statement: what cliffy returns here differs from the command itself. */
  command(name: string, command: Command): void {
    this.children.set(name, command.name(name));
  }

  /** Errors are always thrown here; kept so that the same code runs on cliffy. */
  throwErrors(): this {
    return this;
  }

  /** Nothing ever exits here; kept so that the same code runs on cliffy. */
  noExit(): this {
    return this;
  }

  /** There is no help option here; kept so that the same code runs on cliffy, which has one by default. */
  helpOption(_enable: false): this {
    return this;
  }

  /** Sorts the words, calls the action, and resolves to what was found. Throws {@linkcode ValidationError}. */
  async parse(words: string[]): Promise<CommandResult> {
    const end = words.indexOf("--");
    const literal = end === -1 ? [] : words.slice(end + 1);
    const found: { result?: CommandResult } = {};
    const tree = this.build(literal, (result) => found.result = result);
    try {
      await tree.parseAsync(end === -1 ? words : words.slice(0, end), { from: "user" });
    } catch (error) {
      throw error instanceof CommanderError ? new ValidationError(this.wording(error)) : error;
    }
    if (found.result === undefined) throw new Error(`"${this.title}" was parsed but not reached`);
    return found.result;
  }

  /** A fresh commander for this command and what hangs below it. */
  private build(literal: string[], reached: (result: CommandResult) => void): Commander {
    const tree = new Commander(this.title);
    tree.description(this.about).exitOverride().allowExcessArguments(true);
    tree.helpOption(false).helpCommand(false).showSuggestionAfterError(false);
    tree.configureOutput({
      writeOut: () => {},
      writeErr: () => {},
      outputError: () => {},
      getOutHasColors: () => false,
      getErrHasColors: () => false,
      getOutHelpWidth: () => 80,
      getErrHelpWidth: () => 80,
    });
    for (const option of this.declared) addOption(tree, option);
    for (const child of this.children.values()) tree.addCommand(child.build(literal, reached));
    tree.action(async (): Promise<void> => {
      const options = tree.opts<Record<string, unknown>>();
      const args = tree.args;
      this.count(args);
      await this.handler?.(options, ...args);
      reached({ options, args, literal, cmd: this });
    });
    return tree;
  }

  /** Whether there are as many arguments as were declared. */
  private count(args: readonly string[]): void {
    if (this.parameters.length === 0 && args.length > 0) {
      throw new ValidationError(
        this.children.size > 0
          ? `Unknown command "${args[0]}".`
          : `No arguments allowed for command "${this.title}".`,
      );
    }
    const required = this.parameters.filter((parameter) => parameter.startsWith("<"));
    const missing = required.slice(args.length).map((parameter) => parameter.replace(/[<>.]/g, ""));
    if (missing.length > 0) {
      const what = args.length === 0
        ? `Missing argument(s): ${missing.join(", ")}`
        : `Missing argument: ${missing[0]}`;
      throw new ValidationError(what);
    }
    const open = this.parameters.at(-1)?.includes("...") === true;
    const surplus = open ? [] : args.slice(this.parameters.length);
    if (surplus.length > 0) throw new ValidationError(`Too many arguments: ${surplus.join(" ")}`);
  }

  /** The same mistake in cliffy's words. */
  private wording(error: CommanderError): string {
    const quoted = /'([^']*)'/.exec(error.message)?.[1] ?? "";
    const flag = /--[\w-]+/.exec(quoted)?.[0] ?? quoted.split(" ")[0];
    switch (error.code) {
      case "commander.unknownOption": {
        const [name, value] = quoted.split(/=(.*)/s);
        const known = this.declared.some((option) => option.flags.split(/, /).includes(name));
        return known && value !== undefined
          ? `Option "${name}" doesn't take a value, but got "${value}".`
          : `Unknown option "${name}".`;
      }
      case "commander.optionMissingArgument":
        return `Missing value for option "${flag}".`;
      case "commander.missingMandatoryOptionValue":
        return `Missing required option "${flag}".`;
      default:
        return error.message.replace(/^error: /, "");
    }
  }
}

/** Drops `:string`; other types are not part of this subset. */
function withoutTypes(definition: string): string {
  const plain = definition.replaceAll(":string", "");
  if (/[<[][^>\]]*:/.test(plain)) throw new TypeError(`only the type "string" is known here: ${definition}`);
  return plain;
}

function addOption(tree: Commander, { flags, description, options }: DeclaredOption): void {
  const option = new Option(flags, description);
  if (options.required === true) option.makeOptionMandatory();
  if (options.default !== undefined) option.default(options.default);
  const given: string[] = [];
  if (!option.isBoolean()) {
    option.argParser((value: string): string | string[] => {
      given.push(value);
      return options.collect === true ? [...given] : value;
    });
  }
  let times = 0;
  tree.addOption(option);
  tree.on(`option:${option.name()}`, () => {
    if (++times > 1 && options.collect !== true) {
      throw new ValidationError(
        `Option "${option.long ?? option.short}" can only occur once, but was found several times.`,
      );
    }
  });
}
