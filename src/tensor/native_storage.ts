import type { Pointer } from "../../ffi/mod.ts";
import { rangeError, typeError } from "../errors.ts";
import { countHandle } from "../handle.ts";
import { arrayOf, type DType, type NumericData, type NumericDType } from "./dtype.ts";
import { NativeBlock } from "./native_block.ts";
import { OwnMemory } from "./own_memory.ts";
import { Storage } from "./storage.ts";

const WHOLE_UP_TO = 2 ** 32;

/** Elements in native memory, which C may use while JavaScript goes on. */
export class NativeStorage extends Storage {
  override readonly kind = "native";
  override readonly byteLength: number;
  /** Where the memory starts. */
  readonly pointer: Pointer;
  readonly #block: NativeBlock;
  #data: NumericData | undefined = undefined;

  constructor(block: NativeBlock) {
    super();
    this.byteLength = block.byteLength;
    this.pointer = block.pointer;
    this.#block = block;
    dropped.register(this, block, block);
  }

  override get attachment(): Disposable | undefined {
    return this.#block.attachment;
  }

  override set attachment(attachment: Disposable | undefined) {
    this.#block.attachment = attachment;
  }

  override data(dtype: DType): NumericData {
    if (this.#block.madeWhole?.detached) {
      throw typeError("TENSOR_DETACHED", "Cannot view tensor: the buffer of its data was transferred to somebody else");
    }
    return this.#data ??= new (arrayOf(dtype as NumericDType))(this.#whole());
  }

  override view(dtype: DType, start: number, length: number): NumericData {
    const constructor = arrayOf(dtype as NumericDType), byteOffset = start * constructor.BYTES_PER_ELEMENT;
    if (this.byteLength <= WHOLE_UP_TO || this.#block.madeWhole) {
      return new constructor(this.data(dtype).buffer, byteOffset, length);
    }
    return new constructor(this.#block.window(byteOffset, length * constructor.BYTES_PER_ELEMENT));
  }

  override check(): void {}

  protected override free(): void {
    this.#data = undefined;
    dropped.unregister(this.#block);
    this.#block.dispose();
  }

  #whole(): ArrayBuffer {
    try {
      return this.#block.whole();
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

const dropped = new FinalizationRegistry<NativeBlock>((block) => block.drop());

/**
 * A storage over memory that somebody else allocated, such as an OrtValue's.
 *
 * @param release gives the memory back; called once, as soon as every view of it is detached
 * @param abandon is called in its place when that may never happen, because a buffer over it was transferred away
 */
export function adoptedNativeStorage(
  pointer: Pointer,
  byteLength: number,
  release: () => void,
  abandon: () => void = () => {},
): NativeStorage {
  countHandle("tensor", 1);
  const block = new NativeBlock(pointer, byteLength, {
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
  return new NativeStorage(block);
}

/** A storage of zeros. @throws {MemoryError} OUT_OF_MEMORY */
export function zeroedNativeStorage(byteLength: number): NativeStorage {
  const memory = new OwnMemory(byteLength);
  return new NativeStorage(new NativeBlock(memory.allocation.pointer, byteLength, memory));
}
