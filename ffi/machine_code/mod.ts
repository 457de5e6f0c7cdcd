/**
 * The machine code of the pool's threads: `pool_x64.s` and `pool_arm64.s`, assembled.
 *
 * The arm64 code has passed under emulation and is untested on real hardware.
 *
 * @module
 */

/** Position-independent code, and where its two functions begin. */
export interface MachineCode {
  readonly bytes: Uint8Array<ArrayBuffer>;
  /** `void *start(struct lane *)`: the body of a thread. */
  readonly start: number;
  /** `void leave(int status, struct lane *)`: for `on_exit`. */
  readonly leave: number;
}

const X64 =
  "U1VIg+woSIn7i3sQSI10JBi6CAAAAP8TSIP4CHVxSItsJBhIhe10Z/D/QxiDexQAdV3HRVQCAAAASItFOEiJBCRIi0VASIlEJAhIi30ISIt1EEiLVRhIi00gTItFKEyLTTAxwP9VAEiJRUjHRVQDAAAAi31QSI10JBi6CAAAAP9TCPD/RVzw/0sY6Xr///9Ig8QoXVsxwMO4AQAAAIdGFIN+GAB0A/9mIMM=";
const ARM64 =
  "/Xu9qfNTAanzAwCqYBJAueGDAJECAYDScAJA+QACP9YfIADx4QQAVPQTQPm0BAC0amIAkUn9X4gpBQARSf0LiKv//zW/OwPVaRZAuakDADVJAIBSiVYAuYCGQKmCjkGphJZCqYaeQ6mQAkD5AAI/1oAmAPlpAIBSilIBkUn9n4iAUkC54YMAkQIBgNJwBkD5AAI/1opyAZFJ/V+IKQUAEUn9C4ir//81amIAkUn9X4gpBQBRSf0LiKv//zXU//8X81NBqf17w6gAAIDSwANf1ikAgFIqUACRSf2fiL87A9UpGEC5aQAANDAQQPkAAh/WwANf1g==";

const decode = (base64: string): Uint8Array<ArrayBuffer> => Uint8Array.from(atob(base64), (c) => c.charCodeAt(0));

/** The code for an architecture. */
export function poolCode(arch: "x64" | "arm64"): MachineCode {
  return arch === "x64"
    ? { bytes: decode(X64), start: 0, leave: 0x98 }
    : { bytes: decode(ARM64), start: 0, leave: 0xd0 };
}
