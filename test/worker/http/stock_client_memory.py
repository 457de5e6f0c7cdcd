"""Checks of shared memory, which the client makes and the worker reads and writes."""

import os

import numpy as np
import tritonclient.http as triton
from stock_client_checks import expect, given, group, status_of, texts, wanted
from tritonclient.utils import serialize_byte_tensor
from tritonclient.utils import shared_memory as shm


class Region:
    """Shared memory, which the worker knows by the same name."""

    def __init__(self, name, size):
        self.name, self.size, self.key = name, size, f"/coload-stock-{os.getpid()}-{name}"
        self.handle = shm.create_shared_memory_region(name, self.key, size, create_only=True)

    def register(self, client, offset=0):
        client.register_system_shared_memory(self.name, self.key, self.size - offset, offset)

    def read(self, dtype, shape, offset=0):
        return shm.get_contents_as_numpy(self.handle, dtype, shape, offset).copy()

    def write(self, *arrays, offset=0):
        shm.set_shared_memory_region(self.handle, arrays, offset)

    def __enter__(self):
        return self

    def __exit__(self, *error):
        shm.destroy_shared_memory_region(self.handle)


def within(tensor, region, size, offset=0):
    """A tensor that lies in a region."""
    tensor.set_shared_memory(region if isinstance(region, str) else region.name, size, offset)
    return tensor


@group
def shared_memory(client):
    a, b = np.arange(4, dtype=np.int32), np.array([10, 20, 30, 40], np.int32)
    shared = lambda name, *where: within(triton.InferInput(name, [4], "INT32"), *where)
    output = lambda *where: [within(wanted("c"), *where)]
    with Region("in", 64) as source, Region("out", 8192) as target:
        expect("none", client.get_system_shared_memory_status(), [])
        source.register(client)
        target.register(client, offset=100)
        entry = {"name": "out", "key": target.key, "offset": 100, "byte_size": 8092}
        expect("status of one", client.get_system_shared_memory_status("out"), [entry])
        names = [entry["name"] for entry in client.get_system_shared_memory_status()]
        expect("status of all", sorted(names), ["in", "out"])
        source.write(a, b)
        both = [shared("a", source, 16), shared("b", source, 16, 16)]
        result = client.infer("add", both, outputs=output(target, 16, 4096))
        answer = result.get_output("c")
        expect("no data", ("data" in answer, answer["datatype"], answer["shape"]), (False, "INT32", [4]))
        expect("in and out", target.read(np.int32, [4], 4196), a + b)
        expect("in alone", client.infer("add", both, outputs=[wanted("c")]).as_numpy("c"), a + b)
        client.infer("add", [given("a", a), given("b", b)], outputs=output(target, 4000))
        expect("out alone, with room to spare", target.read(np.int32, [4], 100), a + b)
        for binary in (True, False):
            mixed = [given("a", b, binary=binary), shared("b", source, 16, 16)]
            expect("inline and shared", client.infer("add", mixed).as_numpy("c"), b + b)
        client.infer("add", both, outputs=output(source, 16, 16))
        expect("over its own input", source.read(np.int32, [4], 16), a + b)

        words = serialize_byte_tensor(texts("ab", "ü\0"))
        source.write(words)
        size = len(words.item())
        x = within(triton.InferInput("x", [2], "BYTES"), source, size)
        client.infer("identity_bytes", [x], outputs=[within(wanted("y"), target, size)])
        expect("texts", target.read(np.object_, [2], 100), texts("ab", "ü\0"))

        expect("registered twice", status_of(source.register, client), "400")
        refused = lambda inputs, outputs=None: status_of(client.infer, "add", inputs, outputs=outputs)
        expect("an unknown region", refused([both[0], shared("b", "nothing", 16)]), "404")
        expect("an unknown region for an output", refused(both, output("nothing", 16)), "404")
        expect("beyond its end", refused([both[0], shared("b", source, 16, 60)]), "400")
        expect("an offset beyond its end", refused([both[0], shared("b", source, 16, 2**62)]), "400")
        expect("of another size", refused([both[0], shared("b", source, 12)]), "400")
        expect("too little room", refused(both, output(target, 12)), "400")
        expect("status of an unknown region", status_of(client.get_system_shared_memory_status, "nothing"), "404")
        for key, size, offset in (("/nothing", 8, 0), (source.key, 65, 0), (source.key, 8, 60), ("/../etc/passwd", 8, 0)):
            refusal = status_of(client.register_system_shared_memory, "other", key, size, offset)
            expect(f"register {size} bytes from {offset}", refusal, "400")

        client.unregister_system_shared_memory("in")
        expect("after unregister", refused(both), "404")
        expect("unregister an unknown one", status_of(client.unregister_system_shared_memory, "in"), "200")
        source.register(client)
        client.unregister_system_shared_memory()
        expect("after unregister of all", client.get_system_shared_memory_status(), [])
        expect("no memory of devices", client.get_cuda_shared_memory_status(), [])
        client.unregister_cuda_shared_memory()
