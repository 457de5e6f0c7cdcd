import { exclusively } from "../../ffi/process/shared.ts";
import { expiry, totalBytes } from "./eviction.ts";
import type { ModelInfo, RegistryMetrics } from "./registry_types.ts";
import { sourceName } from "./residents.ts";
import { readText } from "./slot_text.ts";
import { METRIC, type RegistryTable, SLOT_F64, SLOT_STATE, SLOT_U32 } from "./table.ts";

/** The states that users see; models in any other are not listed. */
const STATE_NAMES: Readonly<Record<number, ModelInfo["state"]>> = {
  [SLOT_STATE.loading]: "loading",
  [SLOT_STATE.ready]: "ready",
  [SLOT_STATE.retired]: "retired",
};

/** The models of a table that are there or being loaded. */
export function listModels(table: RegistryTable): ModelInfo[] {
  return exclusively(() =>
    [...table.used()].flatMap((slot): ModelInfo[] => {
      const state = STATE_NAMES[table.state(slot)];
      if (state === undefined) return [];
      const { label, sharedBytes = 0 } = readText(table, slot);
      return [{
        key: label,
        state,
        memory: {
          bytes: table.getF64(slot, SLOT_F64.bytes),
          shared: Math.min(sharedBytes, table.getF64(slot, SLOT_F64.bytes)), // which may be an estimate
          source: state === "loading" ? "estimated" : sourceName(table.getU32(slot, SLOT_U32.source)),
        },
        referenceCount: table.references(slot),
        loadedAt: table.getF64(slot, SLOT_F64.loadedAt),
        lastAccessed: table.getF64(slot, SLOT_F64.lastAccessed),
        expiresAt: expiry(table, slot),
      }];
    })
  );
}

/** What was counted in a table, over all owners there ever were. */
export function registryMetrics(table: RegistryTable): RegistryMetrics {
  const cacheHits = table.metric(METRIC.hits), cacheMisses = table.metric(METRIC.misses);
  return {
    totalModels: listModels(table).length,
    totalMemoryBytes: totalBytes(table),
    cacheHits,
    cacheMisses,
    hitRate: cacheHits + cacheMisses === 0 ? 0 : cacheHits / (cacheHits + cacheMisses),
    loads: table.metric(METRIC.loads),
    evictions: table.metric(METRIC.evictions),
    loadFailures: table.metric(METRIC.failures),
  };
}
