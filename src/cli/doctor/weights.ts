import { WeightsCache } from "../../weights/cache.ts";
import { inventory } from "../../weights/inventory.ts";
import { type Platform, platform } from "../../weights/key.ts";
import { formatBytes } from "../../weights/format_bytes.ts";
import type { Check } from "./diagnose.ts";

const name = "weights", NONE = "no model is prepared: each process has its own copy of the weights";

/** What is prepared for all processes to share. @param hasLibrary whether onnxruntime was started */
export async function weightsCheck(hasLibrary: boolean): Promise<Check> {
  try {
    const cache = WeightsCache.locate();
    if (!cache.exists()) return { name, state: "missing", says: NONE, mend: "coload prepare MODEL" };
    const here: Platform | undefined = hasLibrary ? await platform({ cache }) : undefined;
    const entries = inventory(cache, here),
      of = (state: string): number => entries.filter((e) => e.state === state).length;
    const bytes = entries.reduce((sum, { byteLength }) => sum + byteLength, 0);
    const others = (["foreign", "damaged"] as const).filter((state) => of(state) > 0).map((state) =>
      `${of(state)} ${state}`
    );
    if (of("usable") + others.length === 0) return { name, state: "missing", says: NONE, mend: "coload prepare MODEL" };
    const says = [`${of("usable")} prepared`, ...others].join(", ") + `, ${formatBytes(bytes)} in ${cache.entries}`;
    if (others.length === 0) return { name, state: "works", says };
    return { name, state: "slow", says, mend: "coload prepare --list says why; --gc removes what is damaged or old" };
  } catch (error) {
    return { name, state: "slow", says: (error as Error).message };
  }
}
