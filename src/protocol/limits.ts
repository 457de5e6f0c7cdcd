/** Most dimensions of a tensor on the wire. */
export const MAX_RANK = 64;
/** Most bytes of the description of a request or an answer: what a model of thousands of inputs needs. */
export const MOST_DESCRIPTION_BYTES: number = 1 << 20;
/** Most bytes of one frame on the socket: its tensors go through a lane. */
export const MOST_FRAME_BYTES: number = 256 << 20;
/** Most bytes of a frame that is not known to carry tensors. */
export const MOST_CONTROL_BYTES: number = 1 << 20;
