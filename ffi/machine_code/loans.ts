/**
 * The machine code by which memory that was lent comes back: `loans_x64.s` and `loans_arm64.s`, assembled. It runs on
 * whatever thread lets the memory go, and no JavaScript with it.
 *
 * The arm64 code passes its test under emulation (qemu) and is untested on real hardware.
 *
 * @module
 */

/** Position-independent code, and where its functions begin. */
export interface LoansCode {
  readonly bytes: Uint8Array<ArrayBuffer>;
  /** `void deleter(struct DLManagedTensor *)` */
  readonly returnedUnversioned: number;
  /** `void deleter(struct DLManagedTensorVersioned *)` */
  readonly returnedVersioned: number;
  /** `void destructor(PyObject *)`, of a capsule that holds a loan. */
  readonly capsuleGone: number;
  /** `void with_gil(void *argument, void (*function)(void *))` */
  readonly withGil: number;
}

const X64 =
  "SIt/MOsESIt/CFNIi18ISIuDmAAAAEiJB/BID7G7mAAAAHXyuAEAAACHQ3yFwHUai3tISI2zgAAAALoIAAAAuUBAAAD/Fbb/AADw/4uQAAAAW8NQMfb/Faz/AABIicdY66hTVUiD7AhIiftIifX/FZz/AACJBCRIid//1Ys8JP8Vk/8AAEiDxAhdW8M=";
const ARM64 =
  "ABhA+QIAABQABED5/Xu+qfMLAPkTBED5aWICkSoBQPkKAAD5K/1fyH8BCuuBAABUIP0MyIz//zUEAAAUXz8D1eoDC6r3//8XvzsD1WnyAZEqAIBSK/1fiCr9DIjM//81vzsD1esAADVgSkC5YQICkQIBgNIDCIhSUPwHWAACP9ZpQgKRKv1fiEoFAFEq/QyIrP//Nb87A9XzC0D5/XvCqMADX9b9e7+pAQCA0vD6B1gAAj/W/XvBqNX//xf9e76p81MBqfMDAKr0AwGqMPoHWAACP9bpAwCq4AMTqvMDCSqAAj/W4AMTKpD5B1gAAj/W81NBqf17wqjAA1/W";

const decode = (base64: string): Uint8Array<ArrayBuffer> => Uint8Array.from(atob(base64), (c) => c.charCodeAt(0));

/** The code for an architecture. */
export function loansCode(arch: "x64" | "arm64"): LoansCode {
  return arch === "x64"
    ? { bytes: decode(X64), returnedUnversioned: 0, returnedVersioned: 6, capsuleGone: 0x53, withGil: 0x62 }
    : { bytes: decode(ARM64), returnedUnversioned: 0, returnedVersioned: 8, capsuleGone: 0xa4, withGil: 0xbc };
}
