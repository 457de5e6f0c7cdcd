import { MemoryError, typeError } from "../errors.ts";
import { arrayOf, type DType, elementByteLength } from "./dtype.ts";
import { heapStorage } from "./heap_storage.ts";
import { zeroedNativeStorage } from "./native_storage.ts";
import type { Data, Storage } from "./storage.ts";

/** A storage of zeros, or of empty strings. @throws what `Tensor.zeros` throws */
export function zeroedStorage(dtype: DType, size: number, storage: "heap" | "native"): Storage {
  if (storage !== "heap" && storage !== "native") {
    const found = String(storage);
    throw typeError("INVALID_ARGUMENT", `Cannot make a tensor: storage is "heap" or "native", found ${found}`);
  }
  if (storage === "heap") return heapStorage(zeroedArray(dtype, size));
  if (dtype !== "string") return zeroedNativeStorage(size * elementByteLength(dtype));
  throw typeError("INVALID_DTYPE", "Cannot make a native tensor of strings: they lie in the heap only");
}

function zeroedArray(dtype: DType, size: number): Data {
  try {
    return dtype === "string" ? new Array<string>(size).fill("") : new (arrayOf(dtype))(size);
  } catch (cause) {
    const neededBytes = size * elementByteLength(dtype);
    const message = `Cannot make a heap tensor of ${size} elements of ${dtype}: ${(cause as Error).message}`;
    throw new MemoryError("OUT_OF_MEMORY", message, { cause, neededBytes });
  }
}
