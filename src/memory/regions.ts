import process from "node:process";
import { clearInterval, setInterval } from "node:timers";
import { reap } from "../../ffi/process/reaper.ts";
import { statusOf } from "../../ffi/descriptors.ts";
import { SharedMapping } from "../../ffi/shared_mapping.ts";
import { SystemFailure } from "../../ffi/system_failure.ts";
import { MemoryError, NativeError } from "../errors.ts";
import { Region } from "./region.ts";
import type { Backend } from "./region_file.ts";
import { sweepDirectory } from "./sweep_directory.ts";

/** How often a thread that takes part in regions cleans up after the dead. */
const SWEEP_MS = 5000;

/** The regions that this thread takes part in, by name. */
const regions = new Map<string, Region>();
const tenders = new Set<() => void>();
let timer: ReturnType<typeof setInterval> | undefined;
let swept = false, leavesAtExit = false;

function add(region: Region): Region {
  regions.set(region.name, region);
  region.onClose = () => {
    regions.delete(region.name);
    if (regions.size > 0) return;
    clearInterval(timer);
    timer = undefined;
  };
  if (!leavesAtExit) process.on("exit", () => [...regions.values()].forEach((region) => region.leave()));
  leavesAtExit = true;
  timer ??= setInterval(tendAll, SWEEP_MS).unref();
  return region;
}

function tendAll(): void {
  quietly(() => sweep(false));
  reap().catch(() => {}); // threads of this process that ended: their descriptors hold locks until then
}

/** What the system refuses now, such as a lock, is tried again the next time. */
function quietly(work: () => void): void {
  try {
    work();
  } catch (error) {
    if (!(error instanceof SystemFailure)) throw error;
  }
}

function sweepOnce(): void {
  if (swept) return;
  swept = true;
  sweepDirectory(new Set(), true);
}

function sweep(thoroughly: boolean): { count: number; bytes: number } {
  for (const tend of tenders) quietly(tend);
  let { count, bytes } = sweepDirectory(new Set(regions.keys()), thoroughly);
  for (const region of [...regions.values()]) {
    quietly(() => {
      const reclaimed = region.tend(thoroughly);
      count += reclaimed.count;
      bytes += reclaimed.bytes;
    });
  }
  return { count, bytes };
}

/** Has something done whenever this thread cleans up by itself. Returns what ends that. */
export function whenTending(tend: () => void): () => void {
  tenders.add(tend);
  return () => tenders.delete(tend);
}

/**
 * Makes a region. Where there is no room for it, it cleans up after the dead and tries once more.
 *
 * @throws {MemoryError} OUT_OF_MEMORY
 * @throws {SystemError} SYSTEM
 */
export function createRegion(backend: Backend, dataByteLength: number, blockCapacity = 0): Region {
  sweepOnce();
  try {
    return add(Region.create(backend, dataByteLength, blockCapacity));
  } catch (error) {
    if (!(error instanceof MemoryError)) throw error;
    const isLess = SharedMapping.vacateAll(); // what large mappings still hold that were closed just now
    if (sweepSharedMemory().count === 0 && !isLess) throw error;
    return add(Region.create(backend, dataByteLength, blockCapacity));
  }
}

/** The region of a name, which this thread then takes part in. @throws {NativeError} as `Region.join` */
export function joinRegion(name: string): Region {
  const found = regions.get(name);
  if (found !== undefined) return found;
  sweepOnce();
  return add(Region.join(name));
}

/** The region of a memfd that was passed here. The descriptor stays the caller's. @throws {NativeError} */
export function joinPassedRegion(fd: number): Region {
  const joined = Region.joinPassed(fd), found = regions.get(joined.name);
  if (found === undefined) return add(joined);
  const isSame = statusOf(joined.fd).identity === statusOf(found.fd).identity;
  joined.close();
  if (isSame) return found;
  const message = `Cannot open the region of descriptor ${fd}: it calls itself ${found.name}, which is another one`;
  throw new NativeError("REGION_FORBIDDEN", message);
}

/**
 * Cleans up after processes that died: removes regions in which nobody is alive, and takes back what only the dead
 * held in others. A region with a living participant stays, whichever container that is in. Returns what was removed:
 * how many regions and blocks, and their bytes.
 *
 * It is done by itself: when a thread first uses shared memory, every 5 s while it does, and when there is no room.
 *
 * @example
 * ```ts
 * import { sweepSharedMemory } from "@coload/onnx";
 *
 * const { count, bytes } = sweepSharedMemory();
 * console.log(`${count} left-overs of dead processes, ${bytes} bytes`);
 * ```
 */
export function sweepSharedMemory(): { count: number; bytes: number } {
  return sweep(true);
}
