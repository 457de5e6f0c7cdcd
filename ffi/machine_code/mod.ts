/**
 * The machine code of the pool's threads: `pool_x64.s` and `pool_arm64.s`, assembled.
 *
 * The arm64 code passes its test under emulation (qemu) and is untested on real hardware.
 *
 * @module
 */

/** Position-independent code, and where its three functions begin. */
export interface MachineCode {
  readonly bytes: Uint8Array<ArrayBuffer>;
  /** `void *start(struct lane *)`: the body of a thread. */
  readonly start: number;
  /** `ssize_t submit(struct request *, struct lane *)`: counts a request and queues it, as one step. */
  readonly submit: number;
  /** `void leave(int status, struct lane *)`: for `on_exit`. */
  readonly leave: number;
}

const X64 =
  "U1VIg+woSIn7i0tAhcl0JoN7RAB1IPD/Q0RIg3tIAHUG85D/yXXz8P9LRDHtSIdrSEiF7XUji3sQSI10JBi6CAAAAP8TSIP4CA+FgwAAAEiLbCQYSIXtdHlIiWwkGPD/QxiDexQAdWrHRVQCAAAASItFOEiJBCRIi0VASIlEJAhIi30ISIt1EEiLVRhIi00gTItFKEyLTTAxwP9VAEiJRUjHRVQDAAAAuAIAAACHRWCD+AF0EIt9UEiNdCQYuggAAAD/Uwjw/0Vc8P9LGOk3////SIPEKF1bMcDD8P9HWIN+RAB0ITHA8EgPsX5IdReDfkQAdQsx/0iHfkhIhf91BrgIAAAAw1eLfihIi0YISInmuggAAAD/0F/DuAEAAACHRhSDfhgAdAP/ZiDD";
const ARM64 =
  "/Xu9qfNTAanzAwCqbEJAuewCADRqEgGRSf3fiIkCADVJ/V+IKQUAEUn9C4ir//81bSIBkbT938iUAAC1PyAD1YwFAHGB//9USf1fiCkFAFFJ/QuIq///Nb87A9W0/V/Iv/0LyMv//zVUAQC1YBJAueGDAJECAYDScAJA+QACP9YfIADxAQYAVPQTQPnUBQC09BMA+WpiAJFJ/V+IKQUAEUn9C4ir//81vzsD1WkWQLmpBAA1SQCAUolWALmAhkCpgo5BqYSWQqmGnkOpkAJA+QACP9aAJgD5aQCAUopSAZFJ/Z+ITACAUoqCAZFJ/V+ITP0LiMv//zW/OwPVPwUAccAAAFSAUkC54YMAkQIBgNJwBkD5AAI/1opyAZFJ/V+IKQUAEUn9C4ir//81amIAkUn9X4gpBQBRSf0LiKv//zWz//8X81NBqf17w6gAAIDSwANf1v17vqngCwD5CmABkUn9X4gpBQARSf0LiKv//zW/OwPVKhABkUn934iJAgA0LSABkan9X8iJAQC1oP0LyKv//zW/OwPVSf3fiCkBADWp/V/Iv/0LyMv//zWpAAC06QsA+QYAABRfPwPVBAAAFAABgNL9e8KowANf1iAoQLkwBED54UMAkQIBgNIAAj/W/XvCqMADX9YpAIBSKlAAkUn9n4i/OwPVKRhAuWkAADQwEED5AAIf1sADX9Y=";

const decode = (base64: string): Uint8Array<ArrayBuffer> => Uint8Array.from(atob(base64), (c) => c.charCodeAt(0));

/** The code for an architecture. */
export function poolCode(arch: "x64" | "arm64"): MachineCode {
  return arch === "x64"
    ? { bytes: decode(X64), start: 0, submit: 0xdb, leave: 0x11a }
    : { bytes: decode(ARM64), start: 0, submit: 0x154, leave: 0x1e8 };
}
