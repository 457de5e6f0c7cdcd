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
  "U1VIg+woSIn7i0tAhcl0DotDRDtDSHUG85D/yXXyi3sQSI10JBi6CAAAAP8TSIP4CA+FggAAAPD/Q0hIi2wkGEiF7XR08P9DGIN7FAB1asdFVAIAAABIi0U4SIkEJEiLRUBIiUQkCEiLfQhIi3UQSItVGEiLTSBMi0UoTItNMDHA/1UASIlFSMdFVAMAAAC4AgAAAIdFYIP4AXQQi31QSI10JBi6CAAAAP9TCPD/RVzw/0sY6VD///9Ig8QoXVsxwMPw/0dY8P9GRFeLfihIi0YISInmuggAAAD/0F/DuAEAAACHRhSDfhgAdAP/ZiDD";
const ARM64 =
  "/Xu9qfNTAanzAwCqbEJAuQwBADRpRkC5akpAuT8BCmuBAABUPyAD1YwFAHFB//9UYBJAueGDAJECAYDScAJA+QACP9YfIADxgQYAVGoiAZFJ/V+IKQUAEUn9C4ir//819BNA+bQFALRqYgCRSf1fiCkFABFJ/QuIq///Nb87A9VpFkC5qQQANUkAgFKJVgC5gIZAqYKOQamElkKphp5DqZACQPkAAj/WgCYA+WkAgFKKUgGRSf2fiEwAgFKKggGRSf1fiEz9C4jL//81vzsD1T8FAHHAAABUgFJAueGDAJECAYDScAZA+QACP9aKcgGRSf1fiCkFABFJ/QuIq///NWpiAJFJ/V+IKQUAUUn9C4ir//81vv//F/NTQan9e8OoAACA0sADX9b9e76p4AsA+QpgAZFJ/V+IKQUAEUn9C4ir//81KhABkUn9X4gpBQARSf0LiKv//zUgKEC5MARA+eFDAJECAYDSAAI/1v17wqjAA1/WKQCAUipQAJFJ/Z+IvzsD1SkYQLlpAAA0MBBA+QACH9bAA1/W";

const decode = (base64: string): Uint8Array<ArrayBuffer> => Uint8Array.from(atob(base64), (c) => c.charCodeAt(0));

/** The code for an architecture. */
export function poolCode(arch: "x64" | "arm64"): MachineCode {
  return arch === "x64"
    ? { bytes: decode(X64), start: 0, submit: 0xc2, leave: 0xde }
    : { bytes: decode(ARM64), start: 0, submit: 0x128, leave: 0x174 };
}
