/** The version that is installed unless another is asked for. */
export const DEFAULT_VERSION = "1.30.0";

/** The npm package that carries the library for all platforms. */
export const PACKAGE = "onnxruntime-node";

/** Digests of the package by version: SHA-512 of the tarball in base64, as npm writes them. */
export const PINS: Readonly<Record<string, string>> = {
  "1.30.0": "twhs1C2C/BFkz1yc5OY0KIU2GUq6DURO7hD4bx5Q2Qy3nAMJwRXW8xU3NVczE29VA9lolLOYepoD8fjTGOfIqw==",
  "1.29.0": "WjiVVB72riILz8HbYvxvmjKyE/WmkYoSfKY++axo5jAR609HQg8MwiG/HhShpTcJfmmAdzxxmB+MMST3A+SiPA==",
};
