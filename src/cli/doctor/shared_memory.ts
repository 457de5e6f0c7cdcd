import type { SharedMemoryCapabilities } from "../../../mod.ts";
import type { Check } from "./diagnose.ts";

/** What /dev/shm should have free: the first arena of an allocator, with its tables. */
const ENOUGH_BYTES = 17 << 20;
/** About what the smallest arena takes, with its tables. */
const LEAST_BYTES = 76 << 10;
type LeftOver = SharedMemoryCapabilities["leftOver"];

const UNITS = ["bytes", "KiB", "MiB", "GiB", "TiB"];

function shown(bytes: number): string {
  let unit = 0, value = bytes;
  for (; value >= 1024 && unit < UNITS.length - 1; unit++) value /= 1024;
  return `${Number(value.toFixed(1))} ${UNITS[unit]}`;
}

function counted(count: number, what: string): string {
  return `${count} ${what}${count === 1 ? "" : "s"}`;
}

function namedCheck({ named, memfd, totalBytes, freeBytes }: SharedMemoryCapabilities): Check {
  const instead = memfd !== "works"
    ? "no memory can be shared: send tensors as bytes, by toBytes()"
    : totalBytes > 0 && freeBytes < LEAST_BYTES
    ? 'allocators throw OUT_OF_MEMORY: free some of it, ask for the backend "memfd", or send tensors as bytes'
    : "memfd is used instead, which other containers cannot open";
  const mend =
    "mount a tmpfs at /dev/shm; for a container, give it more with --shm-size, or an emptyDir of medium Memory";
  const name = "shm", says = `/dev/shm: ${shown(freeBytes)} free of ${shown(totalBytes)}`;
  if (named !== "works") {
    return { name, state: memfd === "works" ? "slow" : "missing", says: `${named}; ${instead}`, mend };
  }
  if (freeBytes >= ENOUGH_BYTES) return { name, state: "works", says };
  return { name, state: "slow", says: `${says}: large tensors may fail with OUT_OF_MEMORY`, mend };
}

function memfdCheck({ memfd }: SharedMemoryCapabilities): Check {
  return memfd === "works"
    ? { name: "memfd", state: "works", says: "files in memory, sealed: what is passed on cannot be cut" }
    : { name: "memfd", state: "missing", says: memfd };
}

function leftOverCheck({ count, bytes }: LeftOver, swept: LeftOver | undefined): Check {
  const removed = swept && `removed ${counted(swept.count, "left-over")} of dead processes, ${shown(swept.bytes)}`;
  if (count === 0) {
    return { name: "left over", state: "works", says: removed ?? "nothing is left of dead processes in /dev/shm" };
  }
  const found = `${counted(count, "region")} of dead processes in /dev/shm, ${shown(bytes)}`;
  const mend = "any process that uses shared memory removes them within seconds; coload doctor --sweep does so now";
  return { name: "left over", state: "slow", says: [removed, found].filter(Boolean).join("; "), mend };
}

/** What memory can be shared, and what dead processes left in it. */
export function sharedMemoryChecks(able: SharedMemoryCapabilities, swept: LeftOver | undefined): Check[] {
  return [namedCheck(able), memfdCheck(able), leftOverCheck(able.leftOver, swept)];
}
