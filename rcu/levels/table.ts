// SPDX-License-Identifier: GPL-2.0-only
/**
 * Which file of this folder is kvfree_rcu() at which level.
 *
 * @invented git has one tree at a time
 * @module
 */

import type { Level } from "../../kernel/config.ts";
import type { KvfreeMacros } from "../../kernel/hooks.ts";
import type { TinyLevel, TreeLevel } from "./level.ts";
import { macros as macros7 } from "./macros/7of7.ts";
import { macros as macrosBase } from "./macros/base.ts";
import { macros as macros513 } from "./macros/v5.13.ts";
import { macros as macros63rc1 } from "./macros/v6.3-rc1.ts";
import { macros as macros65 } from "./macros/v6.5.ts";
import { level as tiny5 } from "./tiny/5of7.ts";
import { level as tiny6 } from "./tiny/6of7.ts";
import { level as tinyBase } from "./tiny/base.ts";
import { level as tiny59 } from "./tiny/v5.9.ts";
import { level as tiny612 } from "./tiny/v6.12.ts";
import { level as tiny63rc1 } from "./tiny/v6.3-rc1.ts";
import { level as tree1 } from "./tree/1of7.ts";
import { level as tree2 } from "./tree/2of7.ts";
import { level as tree3 } from "./tree/3of7.ts";
import { level as tree4 } from "./tree/4of7.ts";
import { level as tree59 } from "./tree/v5.9.ts";
import { level as tree511 } from "./tree/v5.11.ts";
import { level as tree513 } from "./tree/v5.13.ts";
import { level as tree514 } from "./tree/v5.14.ts";
import { level as tree61 } from "./tree/v6.1.ts";
import { level as tree61192 } from "./tree/v6.1.192.ts";
import { level as treeBase } from "./tree/base.ts";
import { level as tree63 } from "./tree/v6.3.ts";
import { level as tree63rc1 } from "./tree/v6.3-rc1.ts";
import { level as tree65 } from "./tree/v6.5.ts";
import { level as tree612 } from "./tree/v6.12.ts";

/** Tree RCU. @invented see the file */
export const TREE: Readonly<Record<Level, TreeLevel>> = {
  "base": treeBase,
  "1/7": tree1,
  "2/7": tree2,
  "3/7": tree3,
  "4/7": tree4,
  "5/7": tree4,
  "6/7": tree4,
  "7/7": tree4,
  "v5.9": tree59,
  "v5.11": tree511,
  "v5.13": tree513,
  "v5.14": tree514,
  "v6.1": tree61,
  "v6.1.192": tree61192,
  "v6.3-rc1": tree63rc1,
  "v6.3": tree63,
  "v6.5": tree65,
  "v6.12": tree612,
};

/** Tiny RCU. @invented see the file */
export const TINY: Readonly<Record<Level, TinyLevel>> = {
  "base": tinyBase,
  "1/7": tinyBase,
  "2/7": tinyBase,
  "3/7": tinyBase,
  "4/7": tinyBase,
  "5/7": tiny5,
  "6/7": tiny6,
  "7/7": tiny6,
  "v5.9": tiny59,
  "v5.11": tiny59,
  "v5.13": tiny59,
  "v5.14": tiny59,
  "v6.1": tiny59,
  "v6.1.192": tiny59,
  "v6.3-rc1": tiny63rc1,
  "v6.3": tiny63rc1,
  "v6.5": tiny63rc1,
  "v6.12": tiny612,
};

/** The macros, of either flavour. @invented see the file */
export const MACROS: Readonly<Record<Level, KvfreeMacros>> = {
  "base": macrosBase,
  "1/7": macrosBase,
  "2/7": macrosBase,
  "3/7": macrosBase,
  "4/7": macrosBase,
  "5/7": macrosBase,
  "6/7": macrosBase,
  "7/7": macros7,
  "v5.9": macros7,
  "v5.11": macros7,
  "v5.13": macros513,
  "v5.14": macros513,
  "v6.1": macros513,
  "v6.1.192": macros513,
  "v6.3-rc1": macros63rc1,
  "v6.3": macros63rc1,
  "v6.5": macros65,
  "v6.12": macros65,
};
