import { libc } from "../../ffi/libc.ts";
import { ffi } from "../../ffi/mod.ts";
import { offset } from "../../ffi/native_memory.ts";
import { MemoryError } from "../errors.ts";
import type { ShrinkArena } from "../ort/session_options.ts";
import type { Sharing } from "../weights/share.ts";
import { type RegistryTable, SLOT_U32, SLOT_U64 } from "./table.ts";

/** What a slot says in words. */
export interface SlotText {
  /** Under what it is found: file and its state, options; or a digest; or a name. */
  readonly key: string;
  /** What users see and unload by. */
  readonly label: string;
  /** The path as it was first given, and its options: what a synchronous lookup finds. */
  readonly alias: string;
  /** Whether other devices than the CPU may compute. */
  readonly accelerated?: boolean;
  /** When the memory of activations goes back to the system, where that was asked for. */
  readonly shrinkArena?: ShrinkArena | undefined;
  readonly enableCpuMemArena?: boolean | undefined;
  /** Whether the weights are shared with other processes, once that is decided; and how many bytes of them. */
  readonly sharing?: Sharing;
  readonly sharedBytes?: number;
  /** Why the load failed, when it has. */
  readonly failure?: { readonly name: string; readonly code: string; readonly message: string };
}

/** A 32-bit FNV-1a hash of a text's UTF-16 units, to pass most others over. */
function hashText(text: string): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193);
  return hash >>> 0;
}

/** Reads a slot's text. */
export function readText(table: RegistryTable, slot: number): SlotText {
  const address = table.getU64(slot, SLOT_U64.text), byteLength = table.getU32(slot, SLOT_U32.textByteLength);
  const bytes = new Uint8Array(ffi.view(offset({ address }, 0), byteLength));
  return JSON.parse(new TextDecoder().decode(bytes.slice()));
}

/** Writes a slot's text, in place of an earlier one. Under the lock. */
export function writeText(table: RegistryTable, slot: number, text: SlotText): void {
  freeText(table, slot);
  const bytes = new TextEncoder().encode(JSON.stringify(text));
  const pointer = libc().aligned_alloc(16n, BigInt(Math.ceil(bytes.length / 16) * 16));
  if (pointer === null) throw new MemoryError("OUT_OF_MEMORY", "Cannot keep a model's key: there is no memory left");
  new Uint8Array(ffi.view(pointer, bytes.length)).set(bytes);
  table.setU32(slot, SLOT_U32.textByteLength, bytes.length);
  table.setU64(slot, SLOT_U64.text, ffi.address(pointer));
  table.setU32(slot, SLOT_U32.keyHash, hashText(text.key));
  table.setU32(slot, SLOT_U32.aliasHash, hashText(text.alias));
}

/** Frees a slot's text. Under the lock. */
export function freeText(table: RegistryTable, slot: number): void {
  const address = table.getU64(slot, SLOT_U64.text);
  table.setU64(slot, SLOT_U64.text, 0n);
  if (address !== 0n) libc().free(ffi.pointer(address));
}

/** The newest slot whose key or alias is this text, among those in one of the states. Under the lock. */
export function findSlot(
  table: RegistryTable,
  by: "key" | "alias",
  text: string,
  states: readonly number[],
): number | undefined {
  const hash = hashText(text), position = by === "key" ? SLOT_U32.keyHash : SLOT_U32.aliasHash;
  let newest: number | undefined;
  for (const slot of table.used()) {
    if (table.getU32(slot, position) !== hash || !states.includes(table.state(slot))) continue;
    if (newest !== undefined && table.getU32(slot, SLOT_U32.id) < table.getU32(newest, SLOT_U32.id)) continue;
    if (table.getU32(slot, SLOT_U32.retired) === 0 && readText(table, slot)[by] === text) newest = slot;
  }
  return newest;
}
