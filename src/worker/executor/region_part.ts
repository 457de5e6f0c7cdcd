import type { Pointer } from "../../../ffi/mod.ts";
import { offset } from "../../../ffi/native_memory.ts";
import { processIdentity } from "../../../ffi/process_identity.ts";
import { NativeError, rangeError, staleError } from "../../errors.ts";
import { unpackGeneration } from "../../memory/block_use.ts";
import type { Region } from "../../memory/region.ts";
import { joinRegion } from "../../memory/regions.ts";
import type { TensorDescription } from "../../protocol/description.ts";
import { dtypeOfOnnx, elementByteLength } from "../../tensor/dtype.ts";

/** A part of a region that a client named, held while C uses it. */
export class RegionPart {
  readonly #region: Region;
  readonly #index: number;
  readonly #generation: number;
  readonly #start: number;
  readonly #end: number;
  readonly pointer: Pointer;

  private constructor(region: Region, index: number, generation: number, start: number, end: number) {
    this.#region = region;
    this.#index = index;
    this.#generation = generation;
    this.#start = start;
    this.#end = end;
    this.pointer = offset(region.mapping, start);
  }

  /**
   * @param pid of the client, which must hold what it names; 0 where it is not known
   * @throws {ReferenceError} STALE_REFERENCE @throws {RangeError} OUT_OF_RANGE
   * @throws {NativeError} FOREIGN_REFERENCE for memory that the client does not hold; as `Region.join`
   */
  static open(
    { region: name = "", generation = 0, byteOffset, byteLength, elementType }: TensorDescription,
    pid: number,
  ): RegionPart {
    const region = joinRegion(name), { index, generation: count } = unpackGeneration(generation);
    const { dataOffset, byteLength: regionBytes, blockCapacity } = region.layout, end = byteOffset + byteLength;
    const elementBytes = elementByteLength(dtypeOfOnnx(elementType)!);
    if (index >= blockCapacity) throw staleError(`Cannot use region ${name}: it has no block ${index}`);
    if (byteOffset < dataOffset || end > regionBytes || byteOffset % elementBytes !== 0) {
      throw rangeError("OUT_OF_RANGE", `Cannot use bytes ${byteOffset} to ${end} of region ${name}`);
    }
    checkHolder(region, index, pid);
    return new RegionPart(region, index, count, byteOffset, end);
  }

  /** Whether this thread has it mapped no more. */
  get gone(): boolean {
    return this.#region.closed;
  }

  /** Holds the block, if it is still the one that was meant. @throws {ReferenceError} STALE_REFERENCE @throws {RangeError} OUT_OF_RANGE */
  hold(): void {
    if (this.#region.closed) throw staleError(`Cannot use region ${this.#region.name}: it is gone`);
    const block = this.#region.hold(this.#index, this.#generation);
    if (this.#start >= block.byteOffset && this.#end <= block.byteOffset + block.byteLength) return;
    this.release();
    const message = `Cannot use bytes ${this.#start} to ${this.#end} of region ${this.#region.name}: they are not of ` +
      `one block`;
    throw rangeError("OUT_OF_RANGE", message);
  }

  release(): void {
    this.#region.release(this.#index);
  }
}

/** Refuses memory that the client does not hold itself. Of a process in another pid namespace that cannot be told. */
function checkHolder(region: Region, index: number, pid: number): void {
  const { namespace } = processIdentity(), holders = region.tables.holdersOf(index);
  if (pid === 0 || holders.some((holder) => holder.pid === pid || holder.namespace !== namespace)) return;
  if (holders.length === 0) throw staleError(`Cannot use a block of region ${region.name}: it was freed`);
  const message = `Cannot use a block of region ${region.name}: the client, process ${pid}, does not hold it`;
  throw new NativeError("FOREIGN_REFERENCE", message);
}
