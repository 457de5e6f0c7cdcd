import { statusOf } from "../../../ffi/descriptors.ts";
import type { OwnedDescriptor } from "../../../ffi/owned_descriptor.ts";
import { readAt, writeAt } from "../../../ffi/positional.ts";
import { SystemFailure } from "../../../ffi/system_failure.ts";
import { rangeError } from "../../errors.ts";
import type { RegionPart } from "../../protocol/oip/infer_request.ts";
import { OipError, quote } from "../../protocol/oip/oip_error.ts";
import { openRegistered, readRegistration, type Registration } from "./region_registration.ts";

/** How much clients may register. */
export interface RegionLimits {
  /** Regions at once. */
  readonly most: number;
  /** Bytes of all of them. */
  readonly mostBytes: number;
}

/** A region as clients are told of it. */
export interface RegionStatus {
  readonly name: string;
  readonly key: string;
  readonly offset: number;
  readonly byte_size: number;
}

/** A region that is there. */
interface Region extends Registration {
  readonly name: string;
  readonly descriptor: OwnedDescriptor;
  /** Inferences in flight that name it. */
  holds: number;
  /** Whether it goes when the last of them ends. */
  isLeaving: boolean;
}

/**
 * Shared memory that clients have registered for their tensors. It is never mapped, for a client may cut it short at any
 * time, and a touch beyond its end ends the process: bytes are copied in and out, which fails instead.
 */
export class ClientRegions implements Disposable {
  readonly #limits: RegionLimits;
  readonly #regions = new Map<string, Region>();
  #byteLength = 0;

  constructor(limits: RegionLimits) {
    this.#limits = limits;
  }

  /** How many there are. */
  get count(): number {
    return this.#regions.size;
  }

  /** Bytes of all of them. */
  get byteLength(): number {
    return this.#byteLength;
  }

  /**
   * Takes up a region.
   *
   * @param found `{ key, offset, byte_size }`: a name in /dev/shm, and which bytes of it
   * @throws {OipError} 400 for a name that is taken, memory that is not there, or not this user's, or beyond the limits
   */
  register(name: string, found: unknown): void {
    const refuse = (why: string): OipError =>
      new OipError(400, `Cannot register shared memory region ${quote(String(name))}: ${why}`);
    const registration = readRegistration(name, found, refuse), { byteSize } = registration;
    const { most, mostBytes } = this.#limits;
    if (this.#regions.has(name)) throw refuse("there is one of that name already");
    if (this.#regions.size >= most) throw refuse(`there are ${most} regions, and may be no more`);
    if (byteSize > mostBytes - this.#byteLength) {
      throw refuse(`all regions have ${this.#byteLength} bytes, and may have ${mostBytes}; this one has ${byteSize}`);
    }
    const descriptor = openRegistered(registration, refuse);
    this.#regions.set(name, { ...registration, name, descriptor, holds: 0, isLeaving: false });
    this.#byteLength += byteSize;
  }

  /** Lets go of a region, or of all, if there is any: at once, or when the inferences that name it end. */
  unregister(name: string | undefined): void {
    for (const region of name === undefined ? [...this.#regions.values()] : [this.#regions.get(name)]) {
      if (region === undefined) continue;
      region.isLeaving = true;
      this.#removeIfLeft(region);
    }
  }

  /** Tells of a region, or of all. @throws {OipError} 404 */
  status(name: string | undefined): RegionStatus[] {
    const regions = name === undefined ? [...this.#regions.values()] : [this.#find(name)];
    return regions.map(({ name, key, offset, byteSize }) => ({ name, key, offset, byte_size: byteSize }));
  }

  /**
   * Copies a part of a region.
   *
   * @param target of the part's length
   * @throws {OipError} 404 for an unknown region; 400 for a part beyond it, or one that is gone by now
   * @throws {RangeError} INVALID_LENGTH
   */
  read(part: RegionPart, target: Uint8Array): void {
    const region = this.#within(part), { fd } = region.descriptor;
    checkLength(part, target);
    const read = attempt("read", region, () => readAt(fd, target, region.offset + part.byteOffset));
    if (read < target.length) throw shrunk("read", region);
  }

  /**
   * Copies bytes into a part of a region, and never makes its file longer, unless its owner cuts it at that very moment.
   *
   * @param source of the part's length
   * @throws as {@linkcode ClientRegions.read}
   */
  write(part: RegionPart, source: Uint8Array): void {
    const region = this.#within(part), { fd } = region.descriptor, at = region.offset + part.byteOffset;
    checkLength(part, source);
    const isThere = attempt("write", region, () => statusOf(fd)).byteLength >= at + source.length;
    if (!isThere) throw shrunk("write", region);
    const written = attempt("write", region, () => writeAt(fd, source, at));
    if (written < source.length) throw shrunk("write", region);
  }

  /** Keeps parts for an inference, until it ends. @throws {OipError} 404 for an unknown region; 400 for a part beyond one */
  hold(parts: readonly RegionPart[]): Disposable {
    const held = [...new Set(parts.map((part) => this.#within(part)))];
    for (const region of held) region.holds++;
    const letGo = (region: Region): void => {
      region.holds--;
      this.#removeIfLeft(region);
    };
    return { [Symbol.dispose]: () => held.splice(0).forEach(letGo) };
  }

  #find(name: string): Region {
    const region = this.#regions.get(name);
    if (region === undefined) throw new OipError(404, `There is no shared memory region ${quote(name)}`);
    return region;
  }

  /** The region of a part, which lies within it. */
  #within({ region: name, byteOffset, byteLength }: RegionPart): Region {
    const region = this.#find(name), { byteSize } = region;
    if (byteLength > byteSize || byteOffset > byteSize - byteLength) {
      const message = `Shared memory region ${quote(name)} has ${byteSize} bytes, and no ${byteLength} from ` +
        `${byteOffset} on`;
      throw new OipError(400, message);
    }
    return region;
  }

  #removeIfLeft(region: Region): void {
    if (!region.isLeaving || region.holds > 0) return;
    this.#regions.delete(region.name);
    this.#byteLength -= region.byteSize;
    region.descriptor[Symbol.dispose]();
  }

  /** Lets go of all, of those that are held when they are not any more. */
  [Symbol.dispose](): void {
    this.unregister(undefined);
  }
}

function checkLength({ region, byteLength }: RegionPart, { length }: Uint8Array): void {
  if (length === byteLength) return;
  const message = `Cannot copy a part of region ${quote(region)}: ${byteLength} bytes wanted, ${length} found`;
  throw rangeError("INVALID_LENGTH", message);
}

function attempt<T>(doing: string, { name }: Region, act: () => T): T {
  try {
    return act();
  } catch (error) {
    if (!(error instanceof SystemFailure)) throw error;
    throw new OipError(400, `Cannot ${doing} shared memory region ${quote(name)}: ${error.message}`, { cause: error });
  }
}

const shrunk = (doing: string, { name, key }: Region): OipError =>
  new OipError(400, `Cannot ${doing} shared memory region ${quote(name)}: ${quote(key)} has shrunk`);
