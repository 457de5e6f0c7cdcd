"""What checks of the stock client are made of."""

import json
import sys

import ml_dtypes
import numpy as np
import tritonclient.http as triton
from tritonclient.utils import InferenceServerException

URL = sys.argv[1]
GROUPS = {}


def group(function):
    """Takes up a function whose checks belong together."""
    GROUPS[function.__name__.replace("_", " ")] = function
    return function


def plain(value):
    """A value as a text: arrays with dtype, shape and all bits of their elements."""
    if isinstance(value, np.ndarray):
        elements = value.tolist() if value.dtype == np.object_ else value.tobytes()
        return f"{value.dtype} {value.shape} {elements!r}"
    return repr(value)


def expect(check, found, wanted):
    """Says what came of a check."""
    print(json.dumps({"check": check, "found": plain(found), "wanted": plain(wanted)}))


def status_of(call, *args, **options):
    """The status that a call is refused with; "200" where it is not."""
    try:
        call(*args, **options)
        return "200"
    except InferenceServerException as error:
        return error.status() if error.message() else "without a message"


def given(name, array, datatype=None, binary=True):
    """An input with its elements."""
    tensor = triton.InferInput(name, list(array.shape), datatype or DATATYPES[array.dtype])
    tensor.set_data_from_numpy(array, binary_data=binary)
    return tensor


def wanted(name, binary=True):
    """An output that is asked for."""
    return triton.InferRequestedOutput(name, binary_data=binary)


def texts(*values):
    return np.array([value.encode() for value in values], dtype=np.object_)


ARRAYS = {
    "BOOL": np.array([True, False, True]),
    "UINT8": np.array([0, 255], np.uint8),
    "UINT16": np.array([0, 65535], np.uint16),
    "UINT32": np.array([0, 2**32 - 1], np.uint32),
    "UINT64": np.array([0, 2**53 + 1, 2**64 - 1], np.uint64),
    "INT8": np.array([-128, 127], np.int8),
    "INT16": np.array([-32768, 32767], np.int16),
    "INT32": np.array([-(2**31), -1, 2**31 - 1], np.int32),
    "INT64": np.array([-(2**63), 2**53 + 1, -(2**53) - 1, 2**63 - 1], np.int64),
    "FP16": np.array([0.5, -2, 65504, np.inf, np.nan], np.float16),
    "BF16": np.array([0.5, -2, np.inf], ml_dtypes.bfloat16),
    "FP32": np.array([0.1, -0.0, 3.4028234e38, 1e-45, np.inf, np.nan], np.float32),
    "FP64": np.array([0.1, -0.0, 1.7976931348623157e308, 5e-324, -np.inf, np.nan], np.float64),
    "BYTES": texts("", "plain", "grüße 日本 \U0001f600", "nul \0 within", "x" * 100_000),
}
DATATYPES = {array.dtype: datatype for datatype, array in ARRAYS.items()}
WITHOUT_JSON = ("FP16", "BF16")


def identity_of(datatype):
    return f"identity_{datatype.lower()}"


def finite(array):
    """What of an array JSON can say."""
    return array if array.dtype == np.object_ or array.dtype.kind not in "f" else array[np.isfinite(array)]
