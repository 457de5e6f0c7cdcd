import { copyToArray } from "../../ffi/copy_memory.ts";
import { ffi, type Pointer } from "../../ffi/mod.ts";
import { offset } from "../../ffi/native_memory.ts";
import { rangeError, typeError } from "../errors.ts";
import { countHandle } from "../handle.ts";
import { NativeBlock } from "../memory/native_block.ts";
import { arrayOf, type DType, type NumericData, type NumericDType } from "./dtype.ts";
import { OwnMemory } from "./own_memory.ts";
import { Storage } from "./storage.ts";

const WHOLE_UP_TO = 2 ** 32;

/** Elements in memory that C may use while JavaScript goes on. */
export abstract class AddressedStorage extends Storage {
  override readonly byteLength: number;
  protected readonly block: NativeBlock;
  #data: NumericData | undefined = undefined;

  constructor(block: NativeBlock) {
    super();
    this.byteLength = block.byteLength;
    this.block = block;
  }

  /** Where the memory starts. */
  get pointer(): Pointer {
    return this.block.pointer;
  }

  override get attachment(): Disposable | undefined {
    return this.block.attachment;
  }

  override set attachment(attachment: Disposable | undefined) {
    this.block.attachment = attachment;
  }

  override data(dtype: DType): NumericData {
    if (this.block.madeWhole?.detached) {
      throw typeError("TENSOR_DETACHED", "Cannot view tensor: the buffer of its data was transferred to somebody else");
    }
    return this.#data ??= new (arrayOf(dtype as NumericDType))(this.#whole());
  }

  override view(dtype: DType, start: number, length: number): NumericData {
    const constructor = arrayOf(dtype as NumericDType), byteOffset = start * constructor.BYTES_PER_ELEMENT;
    if (this.byteLength <= WHOLE_UP_TO || this.block.madeWhole) {
      return new constructor(this.data(dtype).buffer, byteOffset, length);
    }
    const window = this.block.window(byteOffset, length * constructor.BYTES_PER_ELEMENT);
    return new constructor(window.buffer, window.byteOffset, length);
  }

  override check(): void {}

  protected override free(): void {
    this.#data = undefined;
    this.block.dispose();
  }

  /** Ends it when nobody has a view of it any more, and leaves those that there are. In place of `free`. */
  protected letViewsGo(): void {
    this.#data = undefined;
    this.block.drop();
  }

  #whole(): ArrayBuffer {
    try {
      return this.block.whole();
    } catch (cause) {
      throw rangeError(
        "OUT_OF_RANGE",
        `Cannot view tensor as one array: its ${this.byteLength} bytes are more than a buffer holds here; ` +
          "use view(start, length)",
        { cause },
      );
    }
  }
}

/** Elements in this process's native memory. */
export class NativeStorage extends AddressedStorage {
  override readonly kind = "native";

  constructor(block: NativeBlock) {
    super(block);
    dropped.register(this, block, block);
  }

  protected override free(): void {
    dropped.unregister(this.block);
    super.free();
  }
}

const dropped = new FinalizationRegistry<NativeBlock>((block) => block.drop());

/** The same where the system forbids to write: what JavaScript sees is a copy, as a view would let it crash the process. */
export class ProtectedStorage extends NativeStorage {
  #copy: NumericData | undefined = undefined;

  override data(dtype: DType): NumericData {
    return this.#copy ??= this.#read(dtype, 0, this.byteLength / arrayOf(dtype as NumericDType).BYTES_PER_ELEMENT);
  }

  override view(dtype: DType, start: number, length: number): NumericData {
    if (this.#copy === undefined) return this.#read(dtype, start, length);
    return this.#copy.subarray(start, start + length) as NumericData;
  }

  protected override free(): void {
    this.#copy = undefined;
    super.free();
  }

  #read(dtype: DType, start: number, length: number): NumericData {
    const copy = new (arrayOf(dtype as NumericDType))(length), byteOffset = start * copy.BYTES_PER_ELEMENT;
    copyToArray(copy, offset({ address: ffi.address(this.pointer) }, byteOffset));
    return copy;
  }
}

/**
 * A storage over memory that somebody else allocated, such as an OrtValue's.
 *
 * @param release gives the memory back; called once, as soon as every view of it is detached
 * @param abandon is called in its place when that may never happen, because a buffer over it was transferred away
 * @param Storage what it is, if not memory that may be written
 */
export function adoptedNativeStorage(
  pointer: Pointer,
  byteLength: number,
  release: () => void,
  abandon: () => void = () => {},
  Storage: new (block: NativeBlock) => NativeStorage = NativeStorage,
): NativeStorage {
  countHandle("tensor", 1);
  const block = new NativeBlock({
    pointer,
    base: pointer,
    byteOffset: 0,
    byteLength,
    vacate: () => false,
    release() {
      countHandle("tensor", -1);
      release();
    },
    abandon() {
      countHandle("tensor", -1);
      countHandle("abandoned tensor", 1);
      abandon();
    },
  });
  return new Storage(block);
}

/** A storage of zeros. @throws {MemoryError} OUT_OF_MEMORY */
export function zeroedNativeStorage(byteLength: number): NativeStorage {
  return new NativeStorage(new NativeBlock(new OwnMemory(byteLength)));
}
