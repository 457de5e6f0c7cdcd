import type { SharedMemoryCapabilities } from "../../../mod.ts";
import type { Check } from "./diagnose.ts";

/** What /dev/shm should have free: the first arena of an allocator, with its tables. */
const ENOUGH_BYTES = 17 << 20;
/** What the smallest region takes. */
const A_REGION = 64 << 10;
const UNITS = ["bytes", "KiB", "MiB", "GiB", "TiB"];

function shown(bytes: number): string {
  let unit = 0, value = bytes;
  for (; value >= 1024 && unit < UNITS.length - 1; unit++) value /= 1024;
  return `${Number(value.toFixed(1))} ${UNITS[unit]}`;
}

function namedCheck({ named, memfd, totalBytes, freeBytes }: SharedMemoryCapabilities): Check {
  const instead = memfd !== "works"
    ? "tensors travel as bytes"
    : totalBytes > 0 && freeBytes < A_REGION
    ? "tensors travel as bytes, or in memfd where an allocator asks for it"
    : "memfd is used instead, which other containers cannot open";
  const mend =
    "mount a tmpfs at /dev/shm; for a container, give it more with --shm-size, or an emptyDir of medium Memory";
  const name = "shm", says = `/dev/shm: ${shown(freeBytes)} free of ${shown(totalBytes)}`;
  if (named !== "works") {
    return { name, state: memfd === "works" ? "slow" : "missing", says: `${named}; ${instead}`, mend };
  }
  if (freeBytes >= ENOUGH_BYTES) return { name, state: "works", says };
  return { name, state: "slow", says: `${says}: too little for large tensors, which then travel as bytes`, mend };
}

function memfdCheck({ memfd }: SharedMemoryCapabilities): Check {
  return memfd === "works"
    ? { name: "memfd", state: "works", says: "files in memory, sealed: what is passed on cannot be cut" }
    : { name: "memfd", state: "missing", says: memfd };
}

function leftOverCheck({ count, bytes }: SharedMemoryCapabilities["leftOver"], swept: Swept | undefined): Check {
  const removed = swept && `removed ${swept.count} left-overs of dead processes, ${shown(swept.bytes)}`;
  if (count === 0) {
    return { name: "left over", state: "works", says: removed ?? "nothing is left of dead processes in /dev/shm" };
  }
  const found = `${count} regions of dead processes in /dev/shm, ${shown(bytes)}`;
  const mend = "any process that uses shared memory removes them within seconds; coload doctor --sweep does so now";
  return { name: "left over", state: "slow", says: [removed, found].filter(Boolean).join("; "), mend };
}

interface Swept {
  readonly count: number;
  readonly bytes: number;
}

/** What memory can be shared, and what dead processes left in it. */
export function sharedMemoryChecks(able: SharedMemoryCapabilities, swept: Swept | undefined): Check[] {
  return [namedCheck(able), memfdCheck(able), leftOverCheck(able.leftOver, swept)];
}
