"""Drives a worker by the stock client of PyPI: `stock_client.py HOST:PORT GROUP...`.

Says for each check, in a line of JSON, what was wanted and what was found.
"""

import asyncio
import json
import sys
import traceback
from contextlib import contextmanager
from http.client import HTTPConnection

import numpy as np
import stock_client_memory  # noqa: F401: its checks are a group
import tritonclient.http as triton
import tritonclient.http.aio as triton_aio
from stock_client_checks import (
    ARRAYS,
    GROUPS,
    URL,
    WITHOUT_JSON,
    expect,
    finite,
    given,
    group,
    identity_of,
    status_of,
    texts,
    wanted,
)
from tritonclient.utils import InferenceServerException


@group
def health(client):
    expect("alive", client.is_server_live(), True)
    expect("ready", client.is_server_ready(), True)
    expect("model ready", client.is_model_ready("add"), True)
    expect("its version ready", client.is_model_ready("add", "1"), True)
    expect("another version", client.is_model_ready("add", "2"), False)
    expect("an unknown model", client.is_model_ready("nothing"), False)


@group
def metadata(client):
    server = client.get_server_metadata()
    expect("name", server["name"], "triton")
    extensions = {"binary_tensor_data", "system_shared_memory", "model_repository", "schedule_policy", "statistics"}
    expect("extensions", extensions - set(server["extensions"]), set())
    found = client.get_model_metadata("add")
    tensor = lambda name: {"name": name, "datatype": "INT32", "shape": [-1]}
    expect("platform", (found["name"], found["versions"], found["platform"]), ("add", ["1"], "onnxruntime_onnx"))
    expect("inputs", found["inputs"], [tensor("a"), tensor("b")])
    expect("outputs", client.get_model_metadata("add", "1")["outputs"], [tensor("c")])
    config = client.get_model_config("add")
    expect("config", (config["name"], config["platform"], config["max_batch_size"]), ("add", "onnxruntime_onnx", 0))
    expect("config's inputs", [entry["name"] for entry in config["input"]], ["a", "b"])
    first = {"name": "x", "data_type": "TYPE_FP32", "dims": [2]}
    config = client.get_model_config("rows")
    expect("a batching model's config", (config["max_batch_size"], config["input"]), (8, [first]))


@group
def json_tensors(client):
    for datatype, array in ARRAYS.items():
        if datatype in WITHOUT_JSON:
            continue
        array = finite(array)
        result = client.infer(identity_of(datatype), [given("x", array, binary=False)], outputs=[wanted("y", False)])
        found = result.as_numpy("y")
        expect(f"{datatype} in JSON", found if datatype != "BYTES" else texts(*found.tolist()), array)
    matrix = np.arange(6, dtype=np.float32).reshape(2, 3)
    result = client.infer("matrix", [given("x", matrix, binary=False)], outputs=[wanted("y", False)])
    expect("rows and columns", result.as_numpy("y"), matrix)


@group
def binary_tensors(client):
    for datatype, array in ARRAYS.items():
        result = client.infer(identity_of(datatype), [given("x", array, datatype)], outputs=[wanted("y")])
        expect(f"{datatype} in bytes", result.as_numpy("y"), array)
        empty = array[:0]
        result = client.infer(identity_of(datatype), [given("x", empty, datatype)])
        expect(f"no {datatype}", result.as_numpy("y").shape, (0,))
    matrix = np.arange(6, dtype=np.float32).reshape(2, 3)
    expect("rows and columns", client.infer("matrix", [given("x", matrix)]).as_numpy("y"), matrix)
    large = np.arange(2**20, dtype=np.float32)
    expect("4 MiB", np.array_equal(client.infer(identity_of("FP32"), [given("x", large)]).as_numpy("y"), large), True)


@group
def requests(client):
    a, b = np.array([1, 2], np.int32), np.array([10, -20], np.int32)
    total = a + b
    for binary in ((True, True), (True, False), (False, True), (False, False)):
        inputs = [given("a", a, binary=binary[0]), given("b", b, binary=binary[1])]
        for output in (None, [wanted("c")], [wanted("c", False)]):
            expect(f"bytes {binary}", client.infer("add", inputs, outputs=output).as_numpy("c"), total)
    inputs = [given("a", a), given("b", b)]
    answer = client.infer("add", inputs, "1", request_id="id ü 7", outputs=[wanted("c")]).get_response()
    expect("id", (answer["id"], answer["model_name"], answer["model_version"]), ("id ü 7", "add", "1"))
    result = client.infer("add", inputs, headers={"x-test": "1"}, query_params={"q": 1}, parameters={"own": "text"})
    expect("headers, a query, parameters of one's own", result.as_numpy("c"), total)


@group
def compression(client):
    array = np.arange(10_000, dtype=np.float32)
    for request in (None, "gzip", "deflate"):
        for response in (None, "gzip", "deflate"):
            packed = {"request_compression_algorithm": request, "response_compression_algorithm": response}
            for binary in (True, False):
                tensors = [given("x", array, binary=binary)], None, [wanted("y", binary)]
                result = client.infer("identity_fp32", tensors[0], outputs=tensors[2], **packed)
                expect(f"{request} and {response}, bytes {binary}", result.as_numpy("y"), array)


@contextmanager
def held_executor(client):
    """Keeps the worker's one executor busy, with a request that ends when its caller goes."""
    host, port = URL.split(":")
    endless = {"name": "iterations", "shape": [], "datatype": "INT64", "data": [2**60]}
    zeros = {"name": "x", "shape": [64], "datatype": "FP32", "data": [0] * 64}
    holder = HTTPConnection(host, int(port))
    holder.request("POST", "/v2/models/slow/infer", json.dumps({"inputs": [zeros, endless]}))
    while not times_out(client):
        pass  # until it runs
    yield
    holder.close()


def times_out(client):
    """Whether a request that may wait for a millisecond is refused."""
    return status_of(client.infer, "identity_fp32", [given("x", np.ones(1, np.float32))], timeout=1000) == "503"


@group
def many_at_once(client):
    with triton.InferenceServerClient(URL, concurrency=16) as other:
        ask = lambda i: other.async_infer("identity_int64", [given("x", np.array([i]))], request_id=str(i))
        with held_executor(client):
            asked = [ask(i) for i in range(20)]
            stats = client.get_inference_statistics("identity_int64")["model_stats"][0]
        results = [answer.get_result() for answer in asked]
        found = [(result.get_response()["id"], result.as_numpy("y")[0]) for result in results]
        expect("20 requests", found, [(str(i), np.int64(i)) for i in range(20)])
        after = client.get_inference_statistics("identity_int64")["model_stats"][0]
        expect("none of which ran before", after["inference_count"] - stats["inference_count"], 20)
        failed = other.async_infer("nothing", [given("x", np.array([1]))])
        expect("one that fails", status_of(failed.get_result), "404")


@group
def schedule(client):
    x = [given("x", np.array([1.5], np.float32))]
    for priority in (0, 1, 2, 7):
        found = client.infer("identity_fp32", x, priority=priority, timeout=10_000_000).as_numpy("y")[0]
        expect(f"priority {priority}", found, np.float32(1.5))
    with held_executor(client):
        expect("a timeout in the queue", times_out(client), True)
        expect("while other questions are answered", client.is_server_ready(), True)
    expect("and then", client.infer("identity_fp32", x, timeout=60_000_000).as_numpy("y")[0], np.float32(1.5))


@group
def repository(client):
    x = [given("x", np.array([7], np.float32))]
    state = lambda: next(entry["state"] for entry in client.get_model_repository_index() if entry["name"] == "spare")
    expect("index", state(), "READY")
    client.unload_model("spare")
    expect("unloaded", (state(), client.is_model_ready("spare")), ("UNAVAILABLE", False))
    expect("infer without it", status_of(client.infer, "spare", x), "404")
    expect("unload again", status_of(client.unload_model, "spare"), "200")
    client.load_model("spare")
    expect("loaded", (state(), client.is_model_ready("spare")), ("READY", True))
    expect("infer with it", client.infer("spare", x).as_numpy("y"), np.array([7], np.float32))
    client.load_model("rows", config=json.dumps({"max_batch_size": "4"}))
    expect("loaded in another way", client.get_model_config("rows")["max_batch_size"], 4)
    expect("load an unknown model", status_of(client.load_model, "nothing"), "404")
    files = {"file:1/model.onnx": b"bytes"}
    expect("a model that is sent", status_of(client.load_model, "spare", config="{}", files=files), "501")


@group
def statistics(client):
    x, add = [given("x", np.ones(3, np.float32))], [given("a", np.array([1], np.int32))]
    before = client.get_inference_statistics("counted")["model_stats"][0]
    for _ in range(5):
        client.infer("counted", x)
    wrong = [given("x", np.ones(3, np.int32))]
    expect("another dtype", status_of(client.infer, "counted", wrong), "400")
    found = client.get_inference_statistics("counted", "1")["model_stats"][0]
    expect("of one", (found["name"], found["version"]), ("counted", "1"))
    expect("success", found["inference_stats"]["success"]["count"] - before["inference_stats"]["success"]["count"], 5)
    expect("inferences", found["inference_count"] - before["inference_count"], 5)
    expect("executions", found["execution_count"] - before["execution_count"], 5)
    expect("durations", all(found["inference_stats"][part]["ns"] > 0 for part in ("success", "compute_infer")), True)
    expect("batches", sum(entry["compute_infer"]["count"] for entry in found["batch_stats"]), found["execution_count"])
    expect("last", found["last_inference"] > before["last_inference"], True)
    names = {entry["name"] for entry in client.get_inference_statistics()["model_stats"]}
    expect("of all", {"counted", "add"} <= names, True)
    expect("of none", status_of(client.get_inference_statistics, "nothing"), "404")
    expect("one input is missing", status_of(client.infer, "add", add), "400")


@group
def sequences(client):
    values = [11, 7, 5, 3, 2, 0, 1]

    def ask(value, sequence, **options):
        step = given("INPUT", np.full((1, 1), value, np.int32))
        result = client.infer("accumulate", [step], outputs=[wanted("OUTPUT")], sequence_id=sequence, **options)
        return int(result.as_numpy("OUTPUT")[0][0])

    found = {1000: [], 1001: [], "1000": []}
    for i, value in enumerate(values):
        for sign, sequence in zip((1, -1, 2), found):
            ends = {"sequence_start": i == 0, "sequence_end": i == len(values) - 1}
            found[sequence].append(ask(sign * value, sequence, **ends))
    sums = np.cumsum(values)
    expect("sums", list(found.values()), [(sign * sums).tolist() for sign in (1, -1, 2)])
    expect("one that is over", status_of(ask, 1, 1000), "400")
    expect("one that starts anew", [ask(5, 9, sequence_start=True), ask(1, 9), ask(7, 9, sequence_start=True)], [5, 6, 7])
    state = client.get_model_config("accumulate")["sequence_batching"]["state"]
    expect("its state", [(variable["input_name"], variable["output_name"]) for variable in state], [("SUM", "OUTPUT")])
    expect("advertised", "sequence" in client.get_server_metadata()["extensions"], True)


@group
def errors(client):
    x = given("x", np.array([1], np.float32))
    infer = lambda *args, **options: status_of(client.infer, *args, **options)
    expect("unknown model", infer("nothing", [x]), "404")
    expect("unknown version", infer("identity_fp32", [x], "2"), "404")
    expect("unknown input", infer("identity_fp32", [given("z", np.array([1], np.float32))]), "400")
    expect("an input too many", infer("identity_fp32", [x, given("z", np.array([1], np.float32))]), "400")
    expect("an input twice", infer("identity_fp32", [x, x]), "400")
    expect("unknown output", infer("identity_fp32", [x], outputs=[wanted("z")]), "400")
    expect("another dtype", infer("identity_fp32", [given("x", np.array([1], np.int32))]), "400")
    expect("another rank", infer("identity_fp32", [given("x", np.ones((1, 1), np.float32))]), "400")
    expect("a sequence without state", infer("identity_fp32", [x], sequence_id=7, sequence_start=True), "501")
    top = triton.InferRequestedOutput("y", class_count=2)
    expect("a classification", infer("identity_fp32", [x], outputs=[top]), "501")
    nan = given("x", np.array([np.nan], np.float32))
    expect("NaN to JSON", infer("identity_fp32", [nan], outputs=[wanted("y", False)]), "400")
    half = given("x", np.array([1], np.float16))
    expect("half floats to JSON", infer("identity_fp16", [half], outputs=[wanted("y", False)]), "400")
    expect("config of none", status_of(client.get_model_config, "nothing"), "404")
    expect("metadata of none", status_of(client.get_model_metadata, "nothing"), "404")
    expect("metadata of another version", status_of(client.get_model_metadata, "add", "2"), "404")
    expect("traces", status_of(client.get_trace_settings), "404")
    expect("log settings", status_of(client.update_log_settings, {}), "404")
    expect("and all goes on", client.is_server_ready(), True)


@group
def asyncio_client(client):
    del client

    async def drive():
        async with triton_aio.InferenceServerClient(URL) as client:
            x = np.array([2**53 + 1])
            tasks = [client.infer("identity_int64", [given("x", x + i)], request_id=str(i)) for i in range(50)]
            for i, result in enumerate(await asyncio.gather(*tasks)):
                expect(f"request {i}", (result.get_response()["id"], result.as_numpy("y")), (str(i), x + i))
            packed = {"request_compression_algorithm": "gzip", "response_compression_algorithm": "deflate"}
            expect("packed", (await client.infer("identity_int64", [given("x", x)], **packed)).as_numpy("y"), x)
            expect("ready", await client.is_server_ready(), True)
            try:
                await client.infer("nothing", [given("x", x)])
            except InferenceServerException as error:
                expect("an error", error.status(), "404")

    asyncio.run(drive())


def main():
    with triton.InferenceServerClient(URL) as client:
        for name in sys.argv[2:]:
            print(json.dumps({"group": name}))
            try:
                GROUPS[name](client)
            except Exception:  # the groups after it go on
                expect("no exception", traceback.format_exc(), "none")
    print(json.dumps({"group": "", "all": sorted(GROUPS)}))


main()
