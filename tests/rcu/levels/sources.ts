// SPDX-License-Identifier: GPL-2.0-only
/** The text of each file of rcu/levels/, by its path without `.ts`: tests read no disk. */

import tree_1of7 from "../../../rcu/levels/tree/1of7.ts" with { type: "text" };
import tree_2of7 from "../../../rcu/levels/tree/2of7.ts" with { type: "text" };
import tree_3of7 from "../../../rcu/levels/tree/3of7.ts" with { type: "text" };
import tree_4of7 from "../../../rcu/levels/tree/4of7.ts" with { type: "text" };
import tree_base from "../../../rcu/levels/tree/base.ts" with { type: "text" };
import tree_v5_11 from "../../../rcu/levels/tree/v5.11.ts" with { type: "text" };
import tree_v5_13 from "../../../rcu/levels/tree/v5.13.ts" with { type: "text" };
import tree_v5_14 from "../../../rcu/levels/tree/v5.14.ts" with { type: "text" };
import tree_v5_9 from "../../../rcu/levels/tree/v5.9.ts" with { type: "text" };
import tree_v6_1_192 from "../../../rcu/levels/tree/v6.1.192.ts" with { type: "text" };
import tree_v6_1 from "../../../rcu/levels/tree/v6.1.ts" with { type: "text" };
import tree_v6_12 from "../../../rcu/levels/tree/v6.12.ts" with { type: "text" };
import tree_v6_3_rc1 from "../../../rcu/levels/tree/v6.3-rc1.ts" with { type: "text" };
import tree_v6_3 from "../../../rcu/levels/tree/v6.3.ts" with { type: "text" };
import tree_v6_5 from "../../../rcu/levels/tree/v6.5.ts" with { type: "text" };
import tiny_5of7 from "../../../rcu/levels/tiny/5of7.ts" with { type: "text" };
import tiny_6of7 from "../../../rcu/levels/tiny/6of7.ts" with { type: "text" };
import tiny_base from "../../../rcu/levels/tiny/base.ts" with { type: "text" };
import tiny_v5_9 from "../../../rcu/levels/tiny/v5.9.ts" with { type: "text" };
import tiny_v6_12 from "../../../rcu/levels/tiny/v6.12.ts" with { type: "text" };
import tiny_v6_3_rc1 from "../../../rcu/levels/tiny/v6.3-rc1.ts" with { type: "text" };
import macros_7of7 from "../../../rcu/levels/macros/7of7.ts" with { type: "text" };
import macros_base from "../../../rcu/levels/macros/base.ts" with { type: "text" };
import macros_v5_13 from "../../../rcu/levels/macros/v5.13.ts" with { type: "text" };
import macros_v6_3_rc1 from "../../../rcu/levels/macros/v6.3-rc1.ts" with { type: "text" };
import macros_v6_5 from "../../../rcu/levels/macros/v6.5.ts" with { type: "text" };

export const SOURCES: Readonly<Record<string, string>> = {
  "tree/1of7": tree_1of7,
  "tree/2of7": tree_2of7,
  "tree/3of7": tree_3of7,
  "tree/4of7": tree_4of7,
  "tree/base": tree_base,
  "tree/v5.11": tree_v5_11,
  "tree/v5.13": tree_v5_13,
  "tree/v5.14": tree_v5_14,
  "tree/v5.9": tree_v5_9,
  "tree/v6.1.192": tree_v6_1_192,
  "tree/v6.1": tree_v6_1,
  "tree/v6.12": tree_v6_12,
  "tree/v6.3-rc1": tree_v6_3_rc1,
  "tree/v6.3": tree_v6_3,
  "tree/v6.5": tree_v6_5,
  "tiny/5of7": tiny_5of7,
  "tiny/6of7": tiny_6of7,
  "tiny/base": tiny_base,
  "tiny/v5.9": tiny_v5_9,
  "tiny/v6.12": tiny_v6_12,
  "tiny/v6.3-rc1": tiny_v6_3_rc1,
  "macros/7of7": macros_7of7,
  "macros/base": macros_base,
  "macros/v5.13": macros_v5_13,
  "macros/v6.3-rc1": macros_v6_3_rc1,
  "macros/v6.5": macros_v6_5,
};
